/* judge.c - what the page calls: a picture in memory is searched for faces, and a square of it is
   judged.

   The networks and minimeso_crop are exported files, each in one of its own; with THOROUGH there
   are two networks that judge.  Memory behind the program holds the picture, then the workspace of
   a crop; it grows as these need. */
#include <stdint.h>
#include <string.h>

#include "fast.h"
#include "finder.h"
#include "minimeso_crop.h"
#ifdef THOROUGH
#include "thorough.h"
#endif

#define EXPORT(name) __attribute__((export_name(#name)))
#define PAGE 65536

extern unsigned char __heap_base;

static _Alignas(64) unsigned char finder_arena[FINDER_ARENA_BYTES], fast_arena[FAST_ARENA_BYTES];
static float canvas[3 * FINDER_SIDE * FINDER_SIDE];
static float head_8[FINDER_HEAD_8_COUNT], head_16[FINDER_HEAD_16_COUNT];
static float head_32[FINDER_HEAD_32_COUNT];
static float face[3 * FACE_SIDE * FACE_SIDE], mirrored[3 * FACE_SIDE * FACE_SIDE];
static int64_t width, height; /* of the picture */

#ifdef THOROUGH
static _Alignas(64) unsigned char thorough_arena[THOROUGH_ARENA_BYTES];
#endif

/* --- the C library's ------------------------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t n) { return __builtin_memcpy(to, from, n); }
void *memmove(void *to, const void *from, size_t n) { return __builtin_memmove(to, from, n); }
void *memset(void *to, int value, size_t n) { return __builtin_memset(to, value, n); }

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return (unsigned char)*a - (unsigned char)*b;
}

/* --- memory ---------------------------------------------------------------------------------- */

static uintptr_t aligned(uintptr_t address) { return (address + 63) / 64 * 64; }

/* Memory from an address on; 0: there is none. */
static void *reach(uintptr_t from, uint64_t bytes)
{
    uint64_t end = (uint64_t)from + bytes, have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > UINT32_MAX)
        return 0;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == SIZE_MAX)
        return 0;
    return (void *)from;
}

static uint8_t *pixels(void) { return (uint8_t *)aligned((uintptr_t)&__heap_base); }

static uintptr_t behind_picture(void)
{
    return aligned((uintptr_t)pixels() + (uintptr_t)(3 * width * height));
}

/* Where the page writes the picture, RGB line by line; 0: it is too large. */
EXPORT(picture) uint8_t *picture(int32_t w, int32_t h)
{
    if (w < 1 || h < 1 || (int64_t)w * h > (int64_t)50000000)
        return 0;
    width = w;
    height = h;
    return reach((uintptr_t)pixels(), (uint64_t)(3 * width * height));
}

EXPORT(start) int32_t start(void)
{
#ifdef THOROUGH
    if (thorough_init(thorough_arena, 0))
        return -1;
#endif
    return finder_init(finder_arena, 0) || fast_init(fast_arena, 0) ? -1 : 0;
}

/* --- finding --------------------------------------------------------------------------------- */

/* The picture, scaled to w x h, is searched. */
EXPORT(find) int32_t find(int32_t w, int32_t h)
{
    const minimeso_crop_box box = {.pixels = pixels(),
                                   .height = height,
                                   .width = width,
                                   .line_bytes = 3 * width,
                                   .right = (double)width,
                                   .bottom = (double)height,
                                   .out_height = h,
                                   .out_width = w};
    if (w < 1 || h < 1 || w > FINDER_SIDE || h > FINDER_SIDE)
        return -1;
    memset(canvas, 0, sizeof canvas);
    void *workspace = reach(behind_picture(), minimeso_crop_bytes(&box));
    if (!workspace ||
        minimeso_crop_run(&box, 0, canvas, FINDER_SIDE * FINDER_SIDE, FINDER_SIDE, workspace))
        return -1;
    return finder_run(finder_arena, canvas, head_8, head_16, head_32);
}

/* Of the last search: 16 channels for each cell of so many pixels. */
EXPORT(head) const float *head(int32_t stride)
{
    return stride == 8 ? head_8 : stride == 16 ? head_16 : head_32;
}

/* --- judging --------------------------------------------------------------------------------- */

/* Cuts a box, with its edge pixels repeated outside the picture, and scales it to `face`. */
EXPORT(cut) int32_t cut(double x, double y, double w, double h)
{
    const minimeso_crop_box box = {.pixels = pixels(),
                                   .height = height,
                                   .width = width,
                                   .line_bytes = 3 * width,
                                   .left = x,
                                   .top = y,
                                   .right = x + w,
                                   .bottom = y + h,
                                   .out_height = FACE_SIDE,
                                   .out_width = FACE_SIDE,
                                   .bicubic_2x = BICUBIC_2X,
                                   .rounded = ROUNDED};
    const size_t bytes = minimeso_crop_bytes(&box);
    void *workspace = bytes ? reach(behind_picture(), bytes) : 0;
    return workspace ? minimeso_crop_run(&box, 0, face, FACE_SIDE * FACE_SIDE, FACE_SIDE, workspace)
                     : -1;
}

/* p_fake of what was cut last, by the fast network. */
EXPORT(judge_fast) float judge_fast(void)
{
    float p_fake = -1.0f;
    fast_run(fast_arena, face, &p_fake);
    return p_fake;
}

/* By the thorough one, as it is or mirrored; -1 where there is none. */
EXPORT(judge_thorough) float judge_thorough(int32_t mirror)
{
    float p_fake = -1.0f;
    for (int i = 0; i < 3 * FACE_SIDE; i++)
        for (int j = 0; j < FACE_SIDE; j++)
            mirrored[i * FACE_SIDE + j] = face[i * FACE_SIDE + (mirror ? FACE_SIDE - 1 - j : j)];
#ifdef THOROUGH
    thorough_run(thorough_arena, mirrored, &p_fake);
#endif
    return p_fake;
}

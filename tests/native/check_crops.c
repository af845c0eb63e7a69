/* check_crops.c - mm_resize on random crops: within each class of instruction sets all bits agree,
   nothing that was not written is read (the workspace is all NaN before), no step beyond a buffer
   (for a build with AddressSanitizer), and what cannot be is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minimeso.h"

#define CROPS 400

int check_crops(void);

static int failures;
static uint64_t state = 2463534242u;

static uint32_t random_below(uint32_t n) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % n;
}

static int64_t random_side(void)
{
    static const int64_t sides[] = {1, 2, 3, 5, 6, 11, 16, 17, 21, 32, 33, 48, 64, 90, 200};
    return sides[random_below(sizeof sides / sizeof *sides)];
}

static void *memory(size_t bytes, int value)
{
    void *p = malloc(bytes);
    if (!p)
        exit(2);
    return memset(p, value, bytes);
}

static void fail(const char *what, const mm_crop *c)
{
    if (++failures <= 20)
        printf("FAIL crop: %s, %lld x %lld, (%a %a %a %a), to %lld x %lld, filter %d\n", what,
               (long long)c->width, (long long)c->height, (double)c->left, (double)c->top,
               (double)c->right, (double)c->bottom, (long long)c->out_width,
               (long long)c->out_height, c->filter);
}

/* Two edges inside [0, size], between pixels or not, the whole side among them. */
static void random_edges(int64_t size, float *from, float *to)
{
    float a, b;
    do {
        a = (float)random_below(1025) / 1024.0f * (float)size;
        b = random_below(4) ? (float)random_below(1025) / 1024.0f * (float)size : a + 1e-3f;
        if (random_below(2)) {
            a = floorf(a);
            b = ceilf(b);
        }
        if (!random_below(4)) {
            a = 0.0f;
            b = (float)size;
        }
    } while (a == b || a > (float)size || b > (float)size);
    *from = a < b ? a : b;
    *to = a < b ? b : a;
}

static void check_crop(void)
{
    int64_t height = random_side(), width = random_side();
    mm_crop c = {.height = height,
                 .width = width,
                 .line_bytes = 3 * width + random_below(40),
                 .out_height = random_side(),
                 .out_width = random_side(),
                 .filter = (int32_t)random_below(MM_FILTER_BICUBIC_2X + 1),
                 .rounded = (int32_t)random_below(2)};
    size_t bytes = (size_t)((height - 1) * c.line_bytes + 3 * width);
    uint8_t *pixels = memory(bytes, 0);
    for (size_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)random_below(256);
    c.pixels = pixels;
    if (random_below(4) == 0) { /* upside down */
        c.pixels = pixels + (height - 1) * c.line_bytes;
        c.line_bytes = -c.line_bytes;
    }
    random_edges(width, &c.left, &c.right);
    random_edges(height, &c.top, &c.bottom);
    int64_t line = c.out_width + random_below(9), plane = c.out_height * line + random_below(9);
    size_t count = (size_t)(2 * plane + (c.out_height - 1) * line + c.out_width);
    size_t needed = mm_resize_bytes(&c);
    if (!needed)
        fail("refused", &c);
    float *results[2] = {NULL};
    for (int isa = 0; isa < MM_ISA_COUNT && needed; isa++) {
        if (!mm_isa_supported(isa))
            continue;
        float *out = memory(count * sizeof *out, 0xff), **known = &results[isa > MM_SSE2];
        void *workspace = memory(needed, 0xff);
        if (mm_resize(isa, &c, out, plane, line, workspace) != MM_OK)
            fail("did not run", &c);
        for (int64_t i = 0; i < (int64_t)count; i++) {
            int between = i % plane % line >= c.out_width || i % plane / line >= c.out_height;
            if (between ? !isnan(out[i]) : !(out[i] >= 0.0f && out[i] <= 1.000001f)) {
                fail(between ? "written between lines" : "not from 0 to 1", &c);
                break;
            }
        }
        if (*known && memcmp(out, *known, count * sizeof *out) != 0)
            fail("other bits", &c);
        free(workspace);
        free(*known);
        *known = out;
    }
    free(results[0]);
    free(results[1]);
    free(pixels);
}

static void refuse(mm_crop c, const char *what)
{
    float nothing[1];
    if (mm_resize_bytes(&c) != 0 ||
        mm_resize(MM_SCALAR, &c, nothing, 16, 4, nothing) != MM_E_PROGRAM)
        fail(what, &c);
}

static void check_refusals(void)
{
    const mm_crop good = {.height = 9,
                          .width = 7,
                          .line_bytes = 21,
                          .right = 7.0f,
                          .bottom = 9.0f,
                          .out_height = 4,
                          .out_width = 4,
                          .filter = MM_FILTER_BILINEAR};
    const float bad[] = {NAN, INFINITY, -INFINITY, -1e-3f, 9.001f, 1e30f};
    mm_crop c = good;
    if (!mm_resize_bytes(&c))
        fail("refused", &c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float *const edges[] = {&c.left, &c.top, &c.right, &c.bottom};
        for (size_t e = 0; e < 4; e++) {
            c = good;
            *edges[e] = bad[i];
            refuse(c, "edge taken");
        }
    }
    const int64_t sizes[] = {0, -1, INT64_MIN, INT64_MAX, (1 << 24) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t *const sides[] = {&c.height, &c.width, &c.out_height, &c.out_width};
        for (size_t e = 0; e < 4; e++) {
            c = good;
            *sides[e] = sizes[i];
            refuse(c, "size taken");
        }
    }
    c = good;
    c.right = c.left = 3.0f;
    refuse(c, "empty box taken");
    const int64_t strides[][2] = {{16, 3},
                                  {15, 4},
                                  {-16, 4},
                                  {16, -4},
                                  {INT64_MAX, 4},
                                  {16, INT64_MAX},
                                  {INT64_MAX, INT64_MAX / 4},
                                  {PTRDIFF_MAX / 8, 4}}; /* the last: too far for 32 bits */
    float out[16], *workspace = memory(mm_resize_bytes(&good), 0);
    uint8_t pixels[9 * 21] = {0};
    c = good;
    c.pixels = pixels;
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        if (mm_resize(MM_SCALAR, &c, out, strides[i][0], strides[i][1], workspace) != MM_E_PROGRAM)
            fail("strides taken", &c);
    free(workspace);
    c = good;
    c.filter = MM_FILTER_BICUBIC_2X + 1;
    refuse(c, "filter taken");
}

int check_crops(void)
{
    check_refusals();
    for (int i = 0; i < CROPS; i++)
        check_crop();
    printf("%d crops checked\n", CROPS);
    return failures;
}

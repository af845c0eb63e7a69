/* bands.c - from the lines of a band, which the last step of a stage makes, backwards to the lines
   that each step before it must have made. */
#include "bands.h"

#include "ops.h"

int64_t mm_bands(const mm_program *p, const mm_stage *stage)
{
    const mm_step *last = &p->steps[stage->first + stage->count - 1];
    return (mm_made(p, last)->height + stage->band - 1) / stage->band;
}

/* Further away than a line of any picture, and few enough for products with strides. */
#define MM_FAR_LINES ((int64_t)1 << 40)

/* Add the lines of an input that lines `out` of a step need to what is needed of its ring. */
static void add_need(const mm_operands *o, int second, mm_range out, int edges, mm_range *needs)
{
    const mm_tensor *in = second ? o->second : o->in;
    if (!in || in->ring < 0)
        return;
    mm_range *need = &needs[in->ring], lines = MM_OPS[o->step->op].lines(o, second, out);
    if (edges)
        lines = (mm_range){mm_larger(lines.start, 0), mm_smaller(lines.end, in->height)};
    else /* strides multiply from step to step */
        lines = (mm_range){mm_smaller(mm_larger(lines.start, -MM_FAR_LINES), MM_FAR_LINES - 1),
                           mm_larger(mm_smaller(lines.end, MM_FAR_LINES), 1 - MM_FAR_LINES)};
    need->start = mm_smaller(need->start, lines.start);
    need->end = mm_larger(need->end, lines.end);
}

/* A multiple of `tile` that is not above (below) a line, which may lie above the picture. */
static int64_t tile_before(int64_t line, int64_t tile)
{
    return line - (line % tile + tile) % tile;
}
static int64_t tile_behind(int64_t line, int64_t tile)
{
    return tile_before(line + tile - 1, tile);
}

/* The lines that each step of a stage must have for a band, and what is needed of each ring; in a
   picture with edges, or in one that goes on in both directions. */
static void lines_of(const mm_program *p, const mm_stage *stage, mm_range band, int edges,
                     mm_range *own, mm_range *needs)
{
    const mm_step *steps = p->steps + stage->first;
    for (int i = 0; i < stage->count; i++)
        needs[i] = (mm_range){INT64_MAX / 4, -INT64_MAX / 4};
    for (int i = stage->count - 1; i >= 0; i--) {
        const mm_step *s = &steps[i];
        const mm_operands o = mm_operands_of(p, s);
        own[i] = !o.out || o.out->ring < 0 ? band : needs[o.out->ring];
        if (own[i].start >= own[i].end)
            continue;
        int64_t tile = mm_tile_lines(s);
        own[i].start = tile_before(own[i].start, tile);
        own[i].end = tile_behind(own[i].end, tile);
        if (edges)
            own[i].end = mm_smaller(own[i].end, mm_made(p, s)->height);
        else if (o.out && o.out->ring >= 0)
            needs[o.out->ring] = own[i];
        const mm_range tiles = {own[i].start, tile_behind(own[i].end, tile)};
        add_need(&o, 0, tiles, edges, needs); /* a tile mixes all of its input */
        add_need(&o, 1, tiles, edges, needs);
    }
}

void mm_lines_of_band(const mm_program *p, const mm_stage *stage, int64_t number, mm_range *own)
{
    mm_range needs[MM_MAX_STAGE];
    int64_t height = mm_made(p, &p->steps[stage->first + stage->count - 1])->height;
    mm_range band = {number * stage->band, mm_smaller((number + 1) * stage->band, height)};
    lines_of(p, stage, band, 1, own, needs);
}

/* About how long a line of a step takes: multiplications, and what each value costs besides.  Where
   a step has no kernel, kernel_h and kernel_w may be any numbers, below zero, too. */
static double work_of(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *made = mm_made(o->program, s);
    const int has_kernel =
        MM_OPS[s->op].lines == mm_lines_window || s->op == MM_OP_DEPTHWISE_PLANES;
    double window = has_kernel ? (double)s->kernel_h * s->kernel_w : 0.0;
    if (s->op == MM_OP_CONV || s->op == MM_OP_WINOGRAD)
        window *= (double)o->in->channels / s->groups * (s->op == MM_OP_WINOGRAD ? 0.5 : 1.0);
    return (8.0 + window) * made->channels * made->width;
}

int64_t mm_lost_bands(const mm_program *p, const mm_stage *stage)
{
    mm_range before[MM_MAX_STAGE], own[MM_MAX_STAGE];
    int64_t bands = mm_bands(p, stage);
    if (bands < 2)
        return 0;
    mm_lines_of_band(p, stage, bands / 2 - 1, before);
    mm_lines_of_band(p, stage, bands / 2, own);
    double lost = 0.0, all = 0.0;
    for (int i = 0; i < stage->count; i++) {
        const mm_operands o = mm_operands_of(p, &p->steps[stage->first + i]);
        double work = work_of(&o);
        if (own[i].start < own[i].end)
            lost += work * (double)mm_larger(before[i].end - own[i].start, 0);
        all += work * (double)mm_made(p, o.step)->height;
    }
    return all > 0.0 ? (int64_t)(lost * (double)bands / all + 0.5) : 0;
}

/* --- how many lines rings must keep ----------------------------------------------------- */

#define MM_MAX_REPEAT 16

/* The fewest lines by which the output can move so that what it needs of an input moves, too, and
   is the same otherwise; 0: more than MM_MAX_REPEAT. */
static int64_t repeat_of(const mm_operands *o, int second)
{
    mm_lines_fn *lines = MM_OPS[o->step->op].lines;
    if (lines == mm_lines_same || lines == mm_lines_window)
        return 1;
    for (int64_t d = 1; d <= MM_MAX_REPEAT; d++) {
        int64_t y = 0, by = 0;
        for (; y < 2 * MM_MAX_REPEAT; y++) {
            mm_range a = lines(o, second, (mm_range){y, y + 1});
            mm_range b = lines(o, second, (mm_range){y + d, y + d + 1});
            if (b.start <= a.start || b.end - a.end != b.start - a.start)
                break;
            if (y && by != b.start - a.start)
                break;
            by = b.start - a.start;
        }
        if (y == 2 * MM_MAX_REPEAT)
            return d;
    }
    return 0;
}

/* The least common multiple, or a huge number. */
static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return mm_times(a / x, b);
}

/* How many bands from the top until tiles and repeats meet bands as before, or none is left.  A
   band that starts at a multiple of all tiles needs tiles cut as the first one does; but behind a
   sum that doubles, say, the lines of a map count half as much, so behind d of them that multiple
   must be one of 2 ** d tiles. */
static int64_t different_bands(const mm_program *p, const mm_stage *stage)
{
    int64_t repeats[MM_MAX_STAGE], tiles = 1, most = 1;
    for (int i = 0; i < stage->count; i++)
        repeats[i] = 1;
    for (int i = stage->count - 1; i >= 0; i--) {
        const mm_operands o = mm_operands_of(p, &p->steps[stage->first + i]);
        int64_t behind = o.out && o.out->ring >= 0 ? repeats[o.out->ring] : 1;
        tiles = common_multiple(tiles, mm_tile_lines(o.step));
        for (int second = 0; second < 2; second++) {
            const mm_tensor *in = second ? o.second : o.in;
            if (!in || in->ring < 0)
                continue;
            int64_t repeat = repeat_of(&o, second);
            if (!repeat)
                return mm_bands(p, stage);
            repeats[in->ring] = common_multiple(repeats[in->ring], mm_times(behind, repeat));
            most = common_multiple(most, repeats[in->ring]);
        }
    }
    tiles = mm_times(tiles, most);
    return mm_smaller(common_multiple(tiles, stage->band) / stage->band, mm_bands(p, stage));
}

int mm_ring_lines(const mm_program *p, const mm_stage *stage, int64_t *ring_lines)
{
    mm_range own[MM_MAX_STAGE], needs[MM_MAX_STAGE];
    int64_t bands = different_bands(p, stage);
    if (bands > MM_MAX_DIFFERENT_BANDS)
        return MM_E_PROGRAM;
    for (int i = 0; i < stage->count; i++)
        ring_lines[i] = 0;
    for (int64_t b = 0; b < bands; b++) {
        lines_of(p, stage, (mm_range){b * stage->band, (b + 1) * stage->band}, 0, own, needs);
        for (int i = 0; i < stage->count; i++) {
            if (needs[i].start >= needs[i].end)
                continue;
            if (needs[i].start <= -MM_FAR_LINES || needs[i].end >= MM_FAR_LINES)
                return MM_E_PROGRAM;
            ring_lines[i] = mm_larger(ring_lines[i], needs[i].end - needs[i].start);
        }
    }
    return MM_OK;
}

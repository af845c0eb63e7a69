/* bands.c - from the lines of a band, which the last step of a stage makes, backwards to the lines
   that each step before it must have made. */
#include "bands.h"

#include "ops.h"

int64_t mm_bands(const mm_program *p, const mm_stage *stage)
{
    const mm_step *last = &p->steps[stage->first + stage->count - 1];
    return (mm_made(p, last)->height + stage->band - 1) / stage->band;
}

/* Add the lines of an input that lines `out` of a step need to what is needed of its ring. */
static void add_need(const mm_operands *o, int second, mm_range out, mm_range *needs)
{
    const mm_tensor *in = second ? o->second : o->in;
    if (!in || in->ring < 0)
        return;
    mm_range *need = &needs[in->ring], lines = MM_OPS[o->step->op].lines(o, second, out);
    need->start = mm_smaller(need->start, mm_larger(lines.start, 0));
    need->end = mm_larger(need->end, mm_smaller(lines.end, in->height));
}

static int64_t whole_tiles(int64_t lines, int64_t tile) { return (lines + tile - 1) / tile * tile; }

void mm_lines_of_band(const mm_program *p, const mm_stage *stage, int64_t number, mm_range *own)
{
    const mm_step *steps = p->steps + stage->first;
    mm_range needs[MM_MAX_STAGE];
    int64_t height = mm_made(p, &steps[stage->count - 1])->height;
    mm_range band = {number * stage->band, mm_smaller((number + 1) * stage->band, height)};
    for (int i = 0; i < stage->count; i++)
        needs[i] = (mm_range){INT64_MAX, 0};
    for (int i = stage->count - 1; i >= 0; i--) {
        const mm_step *s = &steps[i];
        const mm_operands o = mm_operands_of(p, s);
        own[i] = !o.out || o.out->ring < 0 ? band : needs[o.out->ring];
        if (own[i].start >= own[i].end)
            continue;
        int64_t tile = mm_tile_lines(s), height_made = mm_made(p, s)->height;
        own[i].start -= own[i].start % tile;
        own[i].end = mm_smaller(whole_tiles(own[i].end, tile), height_made);
        const mm_range tiles = {own[i].start, whole_tiles(own[i].end, tile)};
        add_need(&o, 0, tiles, needs); /* a tile mixes all of its input */
        add_need(&o, 1, tiles, needs);
    }
}

/* fuzz_memory.c - where the tensors of a drawn program lie, and what its steps need. */
#include "fuzz.h"

int32_t new_tensor(draft_t *d, int32_t channels, int32_t height, int32_t width, int vector)
{
    mm_tensor *t = &d->tensors[d->p.tensor_count];
    int32_t row_padding = MM_LANES * (one_in(3) ? between(1, 3) : 1);
    *t = (mm_tensor){.row_stride = mm_round_lanes(width) + row_padding,
                     .channels = channels,
                     .height = height,
                     .width = width,
                     .is_vector = vector,
                     .ring = -1,
                     .line_mask = -1};
    t->line_stride = row_padding + channels * t->row_stride + (one_in(4) ? below(50) : 0);
    return (int32_t)d->p.tensor_count++;
}

mm_needs needs_of(const draft_t *d, int64_t step)
{
    mm_program p = d->p;
    mm_needs needs;
    p.tensors = d->tensors;
    p.steps = d->steps;
    if (mm_measure(&p, step, &needs) != MM_OK)
        exit(2);
    return needs;
}

/* The chain in one stage, every other step in its own. */
static void make_stages(draft_t *d)
{
    d->p.stage_count = 0;
    for (int64_t i = 0; i < d->p.step_count;) {
        int64_t count = d->chain_count && i == d->chain ? d->chain_count : 1;
        int64_t tile_lines = mm_tile_lines(&d->steps[i + count - 1]);
        d->stages[d->p.stage_count++] = (mm_stage){.first = (int32_t)i,
                                                   .count = (int32_t)count,
                                                   .band = (int32_t)(tile_lines * between(1, 3))};
        i += count;
    }
}

void place(draft_t *d)
{
    mm_program *p = &d->p;
    int32_t order[MAX_TENSORS];
    int64_t end = 0, rings = 0;
    for (int32_t i = 0; i < p->tensor_count; i++) {
        int32_t j = below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int32_t i = 0; i < p->tensor_count; i++) {
        mm_tensor *t = &d->tensors[order[i]];
        int64_t *next = t->ring < 0 ? &end : &rings;
        t->offset = *next + mm_row_padding(t);
        *next += t->height * t->line_stride;
        *(t->ring < 0 ? &p->arena_floats : &p->ring_floats) =
            t->offset + (t->height - 1) * t->line_stride + t->channels * t->row_stride + MM_SLACK;
    }
    make_stages(d);
}

void add_reach(draft_t *d)
{
    for (int64_t i = 0; i < d->p.step_count; i++) {
        const mm_step *s = &d->steps[i];
        const mm_needs needs = needs_of(d, i);
        if (!needs.loads)
            continue;
        const mm_tensor *in = &d->tensors[s->input];
        int64_t *floats = in->ring < 0 ? &d->p.arena_floats : &d->p.ring_floats;
        int64_t end = in->offset + (in->height - 1) * in->line_stride +
                      (in->channels - 1) * in->row_stride + needs.loads;
        *floats = end > *floats ? end : *floats;
    }
}

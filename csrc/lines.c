/* lines.c - what is done to the lines of any step: rings begin with clear row paddings where
   somebody reads these, and what has been written gets its activation, its batch norm and its
   padding. */
#include "lines.h"

#include "ops.h"

void mm_clear_rings(const mm_worker *worker, const mm_stage *stage)
{
    const mm_program *p = worker->program;
    for (int32_t i = 0; i < stage->count; i++) {
        const mm_operands o = mm_operands_of(p, &p->steps[stage->first + i]);
        const mm_tensor *t = o.in;
        mm_needs needs = {0};
        if (!t || t->ring < 0)
            continue;
        MM_OPS[o.step->op].measure(&o, &needs);
        if (needs.before <= 0 && needs.behind <= 0)
            continue; /* it does not look beyond the ends of a row */
        int64_t lines = mm_smaller(t->line_mask + 1, t->height);
        for (int64_t y = 0; y < lines; y++)
            for (int64_t c = 0; c < t->channels; c++)
                mm_clear_row_padding(t, mm_row(worker, t, y, c), c);
    }
}

static void apply_activation(const mm_worker *worker, const mm_step *s, const mm_tensor *t,
                             float *row, int64_t channel)
{
    const mm_kernels *k = worker->kernels;
    size_t width = (size_t)t->width;
    if (s->slopes < 0)
        mm_activation_of(k, s->activation)(row, row, width, s->slope);
    else if (t->is_vector)
        k->prelu(row, mm_parameter(worker, s->slopes), row, width);
    else
        k->leaky_relu(row, row, width, mm_parameter(worker, s->slopes)[channel]);
}

void mm_finish_row(const mm_worker *worker, const mm_step *s, const mm_tensor *t, float *row,
                   int64_t channel, int done)
{
    const mm_kernels *k = worker->kernels;
    size_t width = (size_t)t->width;
    if (s->activation >= 0 && !done)
        apply_activation(worker, s, t, row, channel);
    if (s->scale >= 0) {
        const float *scale = mm_parameter(worker, s->scale),
                    *shift = mm_parameter(worker, s->shift);
        if (t->is_vector) {
            k->mul(row, scale, row, width);
            k->add(row, shift, row, width);
        } else {
            k->affine(row, row, width, scale[channel], shift[channel]);
        }
    }
    mm_zero_padding(t, row, channel);
}

void mm_finish_lines(const mm_worker *worker, const mm_step *s, const mm_tensor *t, int64_t y,
                     int64_t end, int done)
{
    const int only_padding = done && s->scale < 0;
    if (only_padding && t->ring >= 0 && t->width % MM_LANES == 0)
        return; /* nothing is left to do */
    for (; y < end; y++)
        for (int64_t c = 0; c < t->channels; c++)
            if (only_padding)
                mm_zero_padding(t, mm_row(worker, t, y, c), c);
            else
                mm_finish_row(worker, s, t, mm_row(worker, t, y, c), c, done);
}

/* lines.c - what is done to the lines of any step: rings begin with clear gaps where
   somebody reads these, and what has been
   written gets its activation, its batch norm and its padding. */
#include "lines.h"

void mm_clear_rings(const mm_lane *lane, const mm_stage *stage)
{
    const mm_tensor *tensors = lane->program->tensors;
    const mm_step *s = lane->program->steps + stage->first;
    for (int32_t i = 0; i < stage->count; i++, s++) {
        if (s->op != MM_OP_CONV && s->op != MM_OP_WINOGRAD && s->op != MM_OP_DEPTHWISE)
            continue; /* nobody else looks beyond the ends of a row */
        const mm_tensor *t = &tensors[s->input];
        int within = s->kernel_w == 1 && s->stride_w == 1 && s->pad_left == 0 &&
                     tensors[s->output].width <= t->width;
        if (within || t->ring < 0)
            continue;
        int64_t lines = t->line_mask + 1 < t->height ? t->line_mask + 1 : t->height;
        for (int64_t y = 0; y < lines; y++)
            for (int64_t c = 0; c < t->channels; c++)
                mm_clear_gaps(t, mm_row(lane, t, y, c), c);
    }
}

static void apply_activation(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                             int64_t channel)
{
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)t->width;
    if (s->slopes < 0)
        mm_activation_of(k, s->activation)(row, row, width, s->slope);
    else if (t->is_vector)
        k->prelu(row, mm_parameter(lane, s->slopes), row, width);
    else
        k->leaky_relu(row, row, width, mm_parameter(lane, s->slopes)[channel]);
}

void mm_finish_row(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                   int64_t channel, int done)
{
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)t->width;
    if (s->activation >= 0 && !done)
        apply_activation(lane, s, t, row, channel);
    if (s->scale >= 0) {
        const float *scale = mm_parameter(lane, s->scale), *shift = mm_parameter(lane, s->shift);
        if (t->is_vector) {
            k->mul(row, scale, row, width);
            k->add(row, shift, row, width);
        } else {
            k->affine(row, row, width, scale[channel], shift[channel]);
        }
    }
    mm_zero_padding(t, row, channel);
}

void mm_finish_lines(const mm_lane *lane, const mm_step *s, const mm_tensor *t, int64_t y,
                     int64_t end, int done)
{
    const int only_padding = done && s->scale < 0;
    if (only_padding && t->ring >= 0 && t->width % MM_LANES == 0)
        return; /* nothing is left to do */
    for (; y < end; y++)
        for (int64_t c = 0; c < t->channels; c++)
            if (only_padding)
                mm_zero_padding(t, mm_row(lane, t, y, c), c);
            else
                mm_finish_row(lane, s, t, mm_row(lane, t, y, c), c, done);
}

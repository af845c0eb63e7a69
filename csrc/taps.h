/* taps.h - what operators share that look at their input through a window. */
#ifndef MINIMESO_TAPS_H
#define MINIMESO_TAPS_H

#include "check.h"
#include "lines.h"

/* Valid taps [first, end) of a window that starts at input line `start`. */
static inline void mm_clip_window(int64_t start, int64_t kernel, int64_t dilation, int64_t size,
                                  int64_t *first, int64_t *end)
{
    int64_t low = start < 0 ? (-start + dilation - 1) / dilation : 0;
    int64_t high = start < size ? (size - start + dilation - 1) / dilation : 0;
    *end = high < kernel ? high : kernel;
    *first = low < *end ? low : *end;
}

/* Offsets within a line, from its left padding on, of the taps of one kernel line. */
static inline void mm_list_taps(ptrdiff_t *taps, int64_t channels, int64_t channel_stride,
                                const mm_step *s)
{
    for (int64_t c = 0; c < channels; c++)
        for (int32_t k = 0; k < s->kernel_w; k++)
            *taps++ = (ptrdiff_t)(c * channel_stride + (int64_t)k * s->dilation_w);
}

/* Output channels of which bytes become floats at once, for all lines of a call. */
#define MM_QUANTIZED_CHANNELS 16

/* Weights that are bytes, of so many output channels, as floats in scratch: whole vectors are made
   of each block, so up to one more than there are. */
static inline int64_t mm_weights_floats(const mm_step *s, int64_t outputs, int64_t taps)
{
    return s->quantized < 0 ? 0 : mm_times(outputs, taps) + MM_LANES;
}

/* The weights of output channels [first, first + outputs), as floats: where they lie, or in
   scratch.  `taps`: how many there are for each; first and outputs are multiples of MM_BLOCK there.
 */
static inline const float *mm_weights(const mm_worker *worker, const mm_step *s, int64_t first,
                                      int64_t outputs, int64_t taps)
{
    if (s->quantized < 0)
        return mm_parameter(worker, s->weight) + first * taps;
    const uint8_t *x = worker->program->quantized + s->quantized + first * taps;
    const float *scale = mm_parameter(worker, s->weight_scale) + first;
    float *y = worker->scratch;
    for (int64_t o = 0; o < outputs; o += MM_BLOCK)
        worker->kernels->dequantize(x + o * taps, scale + o, y + o * taps,
                                    (size_t)(MM_BLOCK * taps));
    return y;
}

/* Whether the program has the weights of a convolution of one group, floats or bytes. */
static inline int mm_has_weights(const mm_operands *o, int64_t outputs, int64_t taps)
{
    const mm_step *s = o->step;
    const int64_t count = mm_times(outputs, taps);
    if (s->quantized == -1)
        return mm_has_parameters(o, s->weight, count);
    return outputs % MM_BLOCK == 0 && mm_has_parameters(o, s->weight_scale, outputs) &&
           mm_within(s->quantized, count + MM_LANES, o->program->quantized_count);
}

/* The rows of a convolution's input: the zeros that its window wants before and behind them, and
   how far its vectors go. */
static inline void mm_measure_rows(const mm_operands *o, const mm_step *s, mm_needs *needs)
{
    int64_t width = o->out->width, taps = mm_times(s->kernel_w - 1, s->dilation_w);
    needs->before = s->pad_left;
    needs->behind = mm_times(width - 1, s->stride_w) + taps + 1 - s->pad_left - o->in->width;
    needs->loads = mm_times(mm_round_lanes(width), s->stride_w) + taps + MM_SLACK - s->pad_left;
}

#endif

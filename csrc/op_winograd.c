/* op_winograd.c - convolutions by vertical Winograd.  The arithmetic is in winograd.inc. */
#include "taps.h"

/* Columns of a tile: equal shares of the row for which the scratch is about 96 KiB. */
static int64_t tile_columns(const mm_tensor *in, const mm_tensor *out)
{
    int64_t whole = mm_round_lanes(out->width), most = 3072 / (in->channels + MM_BLOCK) - MM_LANES;
    most = mm_larger(most, 2 * MM_LANES);
    int64_t parts = (whole + most - 1) / most;
    return mm_round_lanes((whole + parts - 1) / parts);
}

/* Output channels that are made at once: where columns fill a vector only once, eight keep the
   multiply-adds from waiting for each other. */
static int64_t tile_outputs(const mm_tensor *in, const mm_tensor *out)
{
    return tile_columns(in, out) > MM_LANES ? MM_BLOCK : 2 * MM_BLOCK;
}

/* Where it begins to read, left of its output: the padding, and as much more as aligns vectors. */
static int64_t tile_left(const mm_step *s) { return ((int64_t)s->pad_left + 7) / 8 * 8; }

/* Room for a row of its transformed input. */
static int64_t tile_row(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    return mm_round_lanes(tile_columns(in, out) + tile_left(s) - s->pad_left +
                          mm_times(s->kernel_w - 1, s->dilation_w));
}

/* Columns [x, x + width) of the tile of every dilation_h-th line from y on, few enough to stay in
   the first cache.  Scratch: the transformed input, then for some output channels what the eight
   convolutions make of it, then a row for lines below the picture. */
static void winograd_tile(const mm_worker *worker, const mm_step *s, int64_t y, int64_t x,
                          int64_t width)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_kernels *k = worker->kernels;
    const float *zeros = worker->program->constants + s->first_constant;
    int64_t wide = tile_columns(in, out) + MM_LANES, row = tile_row(s, in, out);
    int64_t height = MM_WINOGRAD_POINTS + 1 - s->kernel_h, point = in->channels * row;
    int64_t left = tile_left(s), extra = left - s->pad_left;
    int64_t needed = width + extra + (int64_t)(s->kernel_w - 1) * s->dilation_w;
    float *transformed = worker->scratch, *products = transformed + MM_WINOGRAD_POINTS * point;
    const int64_t most = tile_outputs(in, out), taps = in->channels * s->kernel_w;
    float *spare = products + MM_WINOGRAD_POINTS * most * wide, *rows[6];
    static const float no_bias[2 * MM_BLOCK] = {0};
    for (int64_t c = 0; c < in->channels; c++) {
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            int64_t line = y - s->pad_top + i * s->dilation_h;
            worker->rows[i] =
                line < 0 || line >= in->height ? zeros : mm_row(worker, in, line, c) + x - left;
        }
        k->winograd_in(worker->rows, transformed + c * row, point, (size_t)needed);
    }
    mm_list_taps(worker->taps, in->channels, row, s);
    mm_conv conv = {
        .base = NULL,
        .taps = worker->taps,
        .bias = no_bias,
        .out = NULL,
        .out_stride = (ptrdiff_t)wide,
        .stride = 1,
        .tap_count = (size_t)taps,
        .weight_taps = (size_t)(MM_WINOGRAD_POINTS * taps),
        .outputs = 0,
        .width = (size_t)width,
        .activation = MM_NO_ACTIVATION,
        .slope = 0.0f,
    };
    for (int64_t o = 0; o < out->channels; o += most) {
        const int64_t outputs = mm_smaller(most, out->channels - o);
        conv.outputs = (size_t)outputs;
        conv.weight = mm_parameter(worker, s->weight) + o * MM_WINOGRAD_POINTS * taps;
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            conv.base = transformed + i * point + extra;
            conv.out = products + i * most * wide;
            conv.first_tap = (size_t)(i * taps);
            k->conv_stride1(&conv);
        }
        for (int64_t b = 0; b < outputs; b++) {
            for (int64_t i = 0; i < height; i++) {
                int64_t line = y + i * s->dilation_h;
                rows[i] = line < out->height ? mm_row(worker, out, line, o + b) + x : spare;
            }
            k->winograd_out(products + b * wide, most * wide, mm_parameter(worker, s->bias)[o + b],
                            rows, (size_t)height, (size_t)width,
                            mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION, s->slope);
        }
    }
}

void mm_run_winograd(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t columns = tile_columns(in, out), tile = mm_tile_lines(s);
    end = end < out->height ? end : out->height;
    for (int64_t top = y; top < end; top += tile)
        for (int64_t phase = 0; phase < s->dilation_h && top + phase < out->height; phase++)
            for (int64_t x = 0; x < out->width; x += columns) {
                int64_t left = out->width - x;
                winograd_tile(worker, s, top + phase, x, left < columns ? left : columns);
            }
    mm_finish_lines(worker, s, out, y, end, mm_is_fused(s));
}

int mm_check_winograd(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *in = o->in, *out = o->out;
    if ((s->kernel_h != 3 && s->kernel_h != 5 && s->kernel_h != 7) || s->groups != 1 ||
        s->stride_h != 1 || s->stride_w != 1 || !mm_window_fits(s) || !mm_are_maps(in, out))
        return 0;
    int64_t weights =
        mm_times(mm_times(out->channels, in->channels), mm_times(MM_WINOGRAD_POINTS, s->kernel_w));
    return mm_has_parameters(o, s->weight, weights) && mm_has_parameters(o, s->bias, out->channels);
}

/* The padding between rows is a multiple of MM_LANES, so what tile_left adds lies in it, too. */
void mm_measure_winograd(const mm_operands *o, mm_needs *needs)
{
    const mm_tensor *in = o->in, *out = o->out;
    int64_t row = tile_row(o->step, in, out), wide = tile_columns(in, out) + MM_LANES;
    needs->max_list = mm_larger(MM_WINOGRAD_POINTS, mm_times(in->channels, o->step->kernel_w));
    needs->scratch_floats = mm_times(MM_WINOGRAD_POINTS, mm_times(in->channels, row)) +
                            mm_times(MM_WINOGRAD_POINTS * tile_outputs(in, out) + 1, wide);
    needs->zeros = row;
    mm_measure_rows(o, o->step, needs);
}

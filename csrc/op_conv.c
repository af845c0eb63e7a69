/* op_conv.c - convolutions, directly.  The arithmetic is in conv.inc and depthwise.inc. */
#include "joined.h"
#include "taps.h"

/* With `column_phases` it is one of stride 1 for the kernels, each tap in the row of its phase: the
   column of tap k there, for output 0. */
static int64_t phase_column(const mm_step *s, int64_t k)
{
    int64_t x = k * s->dilation_w - s->pad_left;
    return (x - (x & 1)) / 2;
}

/* As mm_list_taps, from the first element on, where even and odd columns are channels. */
static void list_phase_taps(ptrdiff_t *taps, int64_t channels, int64_t channel_stride,
                            const mm_step *s)
{
    for (int64_t c = 0; c < channels; c++)
        for (int32_t k = 0; k < s->kernel_w; k++) {
            int64_t phase = (k * s->dilation_w - s->pad_left) & 1;
            *taps++ = (ptrdiff_t)((2 * c + phase) * channel_stride + phase_column(s, k));
        }
}

/* Where line y of the output reads: all taps that lie in the picture, at c->taps. */
static void list_all_taps(const mm_worker *worker, const mm_step *s, int64_t y,
                          const ptrdiff_t *of_line, int64_t line_taps, mm_conv *c)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const int64_t start = y * s->stride_h - s->pad_top, left = s->column_phases ? 0 : s->pad_left;
    const float *memory = mm_memory(worker, in);
    ptrdiff_t *const taps = worker->taps + line_taps, *tap = taps;
    int64_t first, end;
    mm_clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
    for (int64_t r = first; r < end; r++, tap += line_taps) {
        ptrdiff_t row = mm_row(worker, in, start + r * s->dilation_h, 0) - left - memory;
        for (int64_t t = 0; t < line_taps; t++)
            tap[t] = row + of_line[t];
    }
    c->taps = taps;
    c->tap_count = (size_t)(tap - taps);
    c->first_tap = (size_t)(first * line_taps);
}

static void run_quantized(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end,
                          int64_t line_taps, mm_conv_fn *kernel, mm_conv *c)
{
    const mm_tensor *out = &worker->program->tensors[s->output];
    for (int64_t o = 0; o < out->channels; o += MM_QUANTIZED_CHANNELS) {
        const int64_t outputs = mm_smaller(MM_QUANTIZED_CHANNELS, out->channels - o);
        c->weight = mm_weights(worker, s, o, outputs, (int64_t)c->weight_taps);
        c->bias = mm_parameter(worker, s->bias) + o;
        c->outputs = (size_t)outputs;
        for (int64_t line = y; line < end; line++) {
            list_all_taps(worker, s, line, worker->taps, line_taps, c);
            c->out = mm_row(worker, out, line, o);
            kernel(c);
        }
    }
}

void mm_run_conv(const mm_worker *worker, const mm_step *s, int64_t y, int64_t lines_end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    if (mm_joins(s, in, out)) {
        mm_run_joined(worker, s, y, lines_end);
        return;
    }
    const int64_t phases = s->column_phases ? 2 : 1;
    const int64_t stride = s->column_phases ? 1 : s->stride_w;
    mm_conv_fn *kernel = stride == 1   ? worker->kernels->conv_stride1
                         : stride == 2 ? worker->kernels->conv_stride2
                                       : worker->kernels->conv_any_stride;
    const int64_t channels = in->channels / s->groups / phases;
    const int64_t filters = out->channels / s->groups;
    const int64_t line_taps = channels * s->kernel_w;
    const float *memory = mm_memory(worker, in);
    const int fused = mm_is_fused(s);
    ptrdiff_t *of_line = worker->taps;
    (s->column_phases ? list_phase_taps : mm_list_taps)(of_line, channels, in->row_stride, s);
    mm_conv c = {
        .base = memory,
        .weight_taps = (size_t)(s->kernel_h * line_taps),
        .weight = NULL,
        .bias = NULL,
        .out = NULL,
        .out_stride = (ptrdiff_t)out->row_stride,
        .stride = (ptrdiff_t)stride,
        .outputs = (size_t)filters,
        .width = (size_t)out->width,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    if (s->quantized >= 0) {
        run_quantized(worker, s, y, lines_end, line_taps, kernel, &c);
        mm_finish_lines(worker, s, out, y, lines_end, fused);
        return;
    }
    for (; y < lines_end; y++) {
        list_all_taps(worker, s, y, of_line, line_taps, &c);
        for (int64_t g = 0; g < s->groups; g++) {
            c.base = memory + g * channels * in->row_stride;
            c.weight = mm_parameter(worker, s->weight) + g * filters * s->kernel_h * line_taps;
            c.bias = mm_parameter(worker, s->bias) + g * filters;
            c.out = mm_row(worker, out, y, g * filters);
            kernel(&c);
        }
        mm_finish_lines(worker, s, out, y, y + 1, fused);
    }
}

/* Weights of one output channel. */
static int64_t taps_of(const mm_operands *o)
{
    const mm_step *s = o->step;
    const int64_t channels = o->in->channels / (s->column_phases ? 2 : 1) / s->groups;
    return mm_times(channels, mm_times(s->kernel_h, s->kernel_w));
}

int mm_check_conv(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *in = o->in, *out = o->out;
    if (!mm_window_fits(s) || !mm_are_maps(in, out) || s->groups < 1)
        return 0;
    if (s->column_phases && (s->stride_w != 2 || s->groups != 1 || in->channels % 2 ||
                             mm_times(s->kernel_w, s->dilation_w) > MM_MAX_DIM))
        return 0;
    if (in->channels % s->groups || out->channels % s->groups ||
        (s->quantized != -1 && s->groups != 1))
        return 0;
    return mm_has_weights(o, out->channels, taps_of(o)) &&
           mm_has_parameters(o, s->bias, out->channels);
}

void mm_measure_conv(const mm_operands *o, mm_needs *needs)
{
    const mm_step *s = o->step;
    mm_step in_phases = *s;
    if (s->column_phases) { /* what is read of the row of a phase */
        in_phases.stride_w = in_phases.dilation_w = 1;
        in_phases.pad_left = (int32_t)-phase_column(s, 0);
        in_phases.kernel_w = (int32_t)(phase_column(s, s->kernel_w - 1) + in_phases.pad_left + 1);
    }
    const int64_t channels = o->in->channels / (s->column_phases ? 2 : 1) / s->groups;
    needs->max_list = mm_times(mm_times(channels, s->kernel_w), (int64_t)s->kernel_h + 1);
    needs->scratch_floats =
        mm_weights_floats(s, mm_smaller(MM_QUANTIZED_CHANNELS, o->out->channels), taps_of(o));
    if (mm_joins(s, o->in, o->out))
        needs->scratch_floats = mm_joined_floats(s, o->in, o->out);
    mm_measure_rows(o, &in_phases, needs);
}

/* Up to four lines of the convolution at once; those outside the picture are zeros. */
void mm_run_depthwise(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const float *zeros = worker->program->constants + s->first_constant;
    const float *rows[MM_DEPTHWISE_ROWS];
    const int64_t first = y;
    const int pool = s->kernel_h == 4;
    int64_t next[MM_DEPTHWISE_ROWS]; /* from channel to channel */
    float *to[4];
    mm_depthwise d = {
        .rows = rows,
        .out = to,
        .width = (size_t)out->width,
        .lines = 0,
        .kernel = pool ? 3 : s->kernel_h,
        .stride = pool ? 1 : s->stride_h,
        .pool = pool,
        .activation = mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (int64_t made; y < end; y += made) {
        const int64_t left = (end - y) * (pool ? 2 : 1), top = y * s->stride_h - s->pad_top;
        d.lines = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        made = pool ? d.lines / 2 : d.lines;
        const int64_t count = (int64_t)(d.lines - 1) * d.stride + d.kernel;
        for (int64_t i = 0; i < count; i++) {
            int outside = top + i < 0 || top + i >= in->height;
            rows[i] = outside ? zeros : mm_row(worker, in, top + i, 0) - s->pad_left;
            next[i] = outside ? 0 : in->row_stride;
        }
        for (int64_t i = 0; i < made; i++)
            to[i] = mm_row(worker, out, y + i, 0);
        d.weight = mm_parameter(worker, s->weight);
        d.bias = mm_parameter(worker, s->bias);
        for (int64_t c = 0; c < in->channels; c++) {
            worker->kernels->depthwise(&d);
            for (int64_t i = 0; i < count; i++)
                rows[i] += next[i];
            for (int64_t i = 0; i < made; i++)
                to[i] += out->row_stride;
            d.weight += d.kernel * d.kernel;
            d.bias++;
        }
    }
    mm_finish_lines(worker, s, out, first, end, mm_is_fused(s));
}

int mm_check_depthwise(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *in = o->in, *out = o->out;
    const int pool = s->kernel_h == 4 && s->stride_h == 2;
    const int plain = (s->kernel_h == 3 || s->kernel_h == 5) && s->stride_h <= 2;
    return mm_window_fits(s) && mm_are_maps(in, out) && in->channels == out->channels &&
           (pool || plain) && s->stride_w == s->stride_h && s->kernel_w == s->kernel_h &&
           s->dilation_h == 1 && s->dilation_w == 1 &&
           mm_has_parameters(o, s->weight, mm_times(s->kernel_h == 5 ? 25 : 9, out->channels)) &&
           mm_has_parameters(o, s->bias, out->channels);
}

void mm_measure_depthwise(const mm_operands *o, mm_needs *needs)
{
    const mm_step *s = o->step;
    needs->zeros = mm_times(mm_round_lanes(o->out->width), s->stride_w) + s->kernel_w - 1;
    mm_measure_rows(o, s, needs);
}

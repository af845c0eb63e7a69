/* op_planes.c - convolutions of small maps that lie plane by plane: line y of such a tensor holds
   its channels from y * t->channels on, and a row all lines of a channel, one behind the other.

   Rows of 8 or 16 pixels would be half a vector of AVX-512, or wait in the second cache beside as
   many zeros.  A plane is a row of 64 or 256: a 1x1 convolution takes no notice, and in a stage a
   few channels go from it to the convolution of each channel by itself while they are in the first
   cache.  That one needs zeros around its lines, and takes each plane apart into scratch. */
#include "taps.h"

static int64_t channels_of(const mm_tensor *t) { return (int64_t)t->channels * t->height; }

/* The weights from the at-th on, which may be in no cache; NULL where the block has not so many. */
static const char *weights_behind(const mm_worker *worker, const mm_step *s, int64_t at,
                                  int64_t count, size_t *bytes)
{
    const mm_program *p = worker->program;
    if (s->quantized >= 0) {
        *bytes = MM_BLOCK;
        at += s->quantized;
        return at + count <= p->quantized_count ? (const char *)(p->quantized + at) : NULL;
    }
    *bytes = MM_BLOCK * sizeof(float);
    at += s->weight;
    return at + count <= p->parameter_count ? (const char *)(p->parameters + at) : NULL;
}

void mm_run_pointwise(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t inputs = channels_of(in), first = y;
    const float *memory = mm_memory(worker, in);
    const int fused = mm_is_fused(s);
    ptrdiff_t *tap = worker->taps;
    for (int64_t line = 0; line < in->height; line++)
        for (int64_t c = 0; c < in->channels; c++)
            *tap++ = mm_row(worker, in, line, c) - memory;
    mm_conv c = {
        .base = memory,
        .taps = worker->taps,
        .tap_count = (size_t)inputs,
        .weight_taps = (size_t)inputs,
        .weight = NULL,
        .bias = NULL,
        .out = NULL,
        .out_stride = (ptrdiff_t)out->row_stride,
        .stride = 1,
        .outputs = (size_t)out->channels,
        .width = (size_t)out->width,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (; y < end; y++) {
        const int64_t channel = y * out->channels;
        c.ahead = weights_behind(worker, s, (channel + out->channels) * inputs,
                                 out->channels * inputs, &c.ahead_bytes);
        c.weight = mm_weights(worker, s, channel, out->channels, inputs);
        c.bias = mm_parameter(worker, s->bias) + channel;
        c.out = mm_row(worker, out, y, 0);
        worker->kernels->conv_stride1(&c);
    }
    mm_finish_lines(worker, s, out, first, end, fused);
}

/* It says what is done to a channel by its number in a line. */
static int epilogue_is_plain(const mm_step *s) { return s->slopes < 0 && s->scale < 0; }

int mm_check_pointwise(const mm_operands *o)
{
    const mm_tensor *in = o->in, *out = o->out;
    return mm_are_maps(in, out) && in->width == out->width && out->channels % MM_BLOCK == 0 &&
           epilogue_is_plain(o->step) && mm_has_weights(o, channels_of(out), channels_of(in)) &&
           mm_has_parameters(o, o->step->bias, channels_of(out));
}

void mm_measure_pointwise(const mm_operands *o, mm_needs *needs)
{
    needs->max_list = channels_of(o->in);
    needs->scratch_floats = mm_weights_floats(o->step, o->out->channels, channels_of(o->in));
    needs->loads = mm_round_lanes(o->out->width) + MM_SLACK;
}

/* All of its input is read for any channel. */
int mm_banded_first(const mm_operands *o)
{
    (void)o;
    return MM_FIRST_OF_STAGE;
}

/* --- each channel by itself --------------------------------------------------------------- */

/* How far a kernel reads in a row. */
static int64_t reach_of(const mm_step *s)
{
    return mm_times(mm_round_lanes(s->plane_out), s->stride_w) + s->kernel_w;
}

/* Of a plane in scratch, with zeros around it: how wide and high the window needs it, or the plane
   itself if its end is left out. */
static int64_t scratch_row(const mm_step *s)
{
    const int64_t needed = mm_times((int64_t)s->plane_out - 1, s->stride_w) + s->kernel_w;
    return mm_round_lanes(mm_larger(needed, (int64_t)s->pad_left + s->plane_in));
}
static int64_t scratch_rows(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    const int64_t last = out->width / s->plane_out - 1;
    return mm_larger(mm_times(last, s->stride_h) + s->kernel_h,
                     (int64_t)s->pad_top + in->width / s->plane_in);
}
static int64_t scratch_floats(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    return mm_round_lanes(mm_times(scratch_rows(s, in, out), scratch_row(s)) + reach_of(s));
}

static void from_planes(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t row = scratch_row(s), floats = scratch_floats(s, in, out);
    mm_planes p = {
        .scratch = worker->scratch,
        .x_stride = (ptrdiff_t)in->row_stride,
        .out_stride = (ptrdiff_t)out->row_stride,
        .row_stride = (ptrdiff_t)row,
        .scratch_stride = (ptrdiff_t)floats,
        .first = (ptrdiff_t)(s->pad_top * row + s->pad_left),
        .channels = (size_t)out->channels,
        .height = (size_t)(in->width / s->plane_in),
        .width = (size_t)s->plane_in,
        .out_height = (size_t)(out->width / s->plane_out),
        .out_width = (size_t)s->plane_out,
        .kernel = s->kernel_h,
        .stride = s->stride_h,
        .activation = mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    memset(worker->scratch, 0, (size_t)(2 * floats) * sizeof *worker->scratch);
    for (; y < end; y++) {
        const int64_t channel = y * out->channels;
        p.x = mm_row(worker, in, y, 0);
        p.out = mm_row(worker, out, y, 0);
        p.weight = mm_parameter(worker, s->weight) + channel * p.kernel * p.kernel;
        p.bias = mm_parameter(worker, s->bias) + channel;
        worker->kernels->depthwise_planes(&p);
    }
}

/* A channel of a map whose lines have zeros around them already. */
static void from_lines(const mm_worker *worker, const mm_step *s, int64_t channel, float *plane)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const float *zeros = worker->program->constants + s->first_constant;
    const int64_t height = out->width / s->plane_out;
    const float *rows[MM_DEPTHWISE_ROWS];
    float *to[4];
    mm_depthwise d = {
        .rows = rows,
        .out = to,
        .weight = mm_parameter(worker, s->weight) + channel * s->kernel_h * s->kernel_h,
        .bias = mm_parameter(worker, s->bias) + channel,
        .width = (size_t)s->plane_out,
        .kernel = s->kernel_h,
        .stride = s->stride_h,
        .activation = mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (int64_t y = 0; y < height; y += d.lines) {
        const int64_t left = height - y, top = y * s->stride_h - s->pad_top;
        d.lines = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        const int64_t count = (int64_t)(d.lines - 1) * d.stride + d.kernel;
        for (int64_t i = 0; i < count; i++) {
            int outside = top + i < 0 || top + i >= in->height;
            rows[i] = outside ? zeros : mm_row(worker, in, top + i, channel) - s->pad_left;
        }
        for (int64_t i = 0; i < d.lines; i++)
            to[i] = plane + (y + i) * s->plane_out;
        worker->kernels->depthwise(&d);
    }
}

void mm_run_depthwise_planes(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *out = &worker->program->tensors[s->output];
    if (s->plane_in)
        from_planes(worker, s, y, end);
    else
        for (int64_t line = y; line < end; line++)
            for (int64_t c = 0; c < out->channels; c++)
                from_lines(worker, s, line * out->channels + c, mm_row(worker, out, line, c));
    mm_finish_lines(worker, s, out, y, end, mm_is_fused(s));
}

/* Kernels write whole vectors, and so may write beyond a line of a plane, which must be before they
   write what lies there: a line is one vector then. */
static int line_fits(int32_t width)
{
    return width == 4 || width == 8 || (width > 0 && width % MM_LANES == 0);
}

int mm_check_depthwise_planes(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *in = o->in, *out = o->out;
    if (!mm_window_fits(s) || !mm_are_maps(in, out) || !line_fits(s->plane_out) ||
        out->width % s->plane_out || s->plane_in < 0 || !epilogue_is_plain(s))
        return 0;
    if (s->plane_in) {
        if (in->channels != out->channels || in->height != out->height || in->width % s->plane_in)
            return 0;
    } else if (in->channels != channels_of(out) || in->ring >= 0) {
        return 0;
    }
    return (s->kernel_h == 3 || s->kernel_h == 5) && s->kernel_w == s->kernel_h &&
           s->stride_h <= 2 && s->stride_w == s->stride_h && s->dilation_h == 1 &&
           s->dilation_w == 1 &&
           mm_has_parameters(o, s->weight, mm_times(s->kernel_h * s->kernel_w, channels_of(out))) &&
           mm_has_parameters(o, s->bias, channels_of(out));
}

void mm_measure_depthwise_planes(const mm_operands *o, mm_needs *needs)
{
    const mm_step *s = o->step;
    if (s->plane_in > 0) {
        needs->scratch_floats = mm_times(2, scratch_floats(s, o->in, o->out));
        return;
    }
    const int64_t needed = mm_times((int64_t)s->plane_out - 1, s->stride_w) + s->kernel_w;
    needs->zeros = reach_of(s);
    needs->before = s->pad_left;
    needs->behind = needed - s->pad_left - o->in->width;
    needs->loads = reach_of(s) + MM_SLACK - s->pad_left;
}

mm_range mm_lines_planes(const mm_operands *o, int second, mm_range out)
{
    return o->step->plane_in ? out : mm_lines_all(o, second, out);
}

int mm_banded_planes(const mm_operands *o) { return o->step->plane_in ? 1 : MM_FIRST_OF_STAGE; }

/* op_joined.c - convolutions that take some lines as one, by way of scratch.

   Rows that fill their vectors badly leave much of them idle, each reads all weights again, and of
   what is loaded with a stride only a part is used.  So the lines that some lines of the output
   read are copied one behind the other, with the zeros that belong between them; with a stride,
   lines and columns that are so far apart become planes of their own.  Then each tap is a fixed
   distance away for all pixels of these lines, which are one row for the kernel.  What it makes
   between the ends of lines and their next beginnings is left behind. */
#include "joined.h"

#include "taps.h"

/* From so many output channels on, copying costs little beside them; beside loads of single
   elements, as a stride of more than two wants them. */
#define MM_JOINED_OUTPUTS 96
#define MM_JOINED_STRIDED 16
/* Most floats of scratch for the input: half a second cache. */
#define MM_JOINED_FLOATS (1 << 17)

/* Along one axis: a window reads elements [first, last] beyond that of its output, counted in
   steps of the stride, of `phases` planes; the first of these begins with element `phase`. */
typedef struct {
    int64_t first, last, phases, phase;
} joined_axis;

typedef struct {
    joined_axis y, x;
    int64_t lines;   /* of the output, at most */
    int64_t columns; /* from line to line */
    int64_t plane;   /* floats of one of the planes of an input channel */
    int64_t channel; /* of all of them */
} joined_layout;

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static joined_axis joined_axis_of(int64_t kernel, int64_t dilation, int64_t stride, int64_t pad)
{
    const int64_t first = floor_div(-pad, stride);
    const joined_axis a = {.first = first,
                           .last = floor_div((kernel - 1) * dilation - pad, stride),
                           .phases = kernel > 1 ? stride : 1,
                           .phase = kernel > 1 ? 0 : -pad - first * stride};
    return a;
}

static joined_layout joined_layout_of(const mm_step *s, const mm_tensor *out)
{
    joined_layout l = {.y = joined_axis_of(s->kernel_h, s->dilation_h, s->stride_h, s->pad_top),
                       .x = joined_axis_of(s->kernel_w, s->dilation_w, s->stride_w, s->pad_left)};
    l.columns = out->width + l.x.last - l.x.first;
    l.lines = mm_smaller(mm_larger(4, 4 * MM_LANES / l.columns), out->height);
    l.plane = mm_times(l.lines + l.y.last - l.y.first, l.columns);
    l.plane = mm_round_lanes(mm_smaller(l.plane, INT64_MAX / 8)); /* aligned, where they can be */
    l.channel = mm_times(l.y.phases * l.x.phases, l.plane);
    return l;
}

/* Pixels of so many lines, as the kernel counts them. */
static int64_t joined_pixels(const joined_layout *l, const mm_tensor *out, int64_t lines)
{
    return (lines - 1) * l->columns + out->width;
}

static int64_t joined_row(const joined_layout *l, const mm_tensor *out)
{
    return mm_round_lanes(joined_pixels(l, out, l->lines));
}

int mm_joins(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    const int one = s->kernel_h == 1 && s->kernel_w == 1;
    if (s->groups != 1 || s->column_phases || s->stride_h != s->stride_w || s->stride_w > 16 ||
        mm_larger(s->kernel_h, s->kernel_w) > 16)
        return 0;
    const joined_layout l = joined_layout_of(s, out);
    if (l.lines < 2 || mm_times(in->channels, l.channel) > MM_JOINED_FLOATS)
        return 0;
    if (one && s->stride_w == 1 &&
        (2 * l.columns <= MM_LANES ||
         (l.columns <= MM_LANES && out->channels >= MM_JOINED_OUTPUTS)))
        return 1; /* rows of half a vector and less, of many channels up to a whole one */
    /* Copying takes some 15 % of what vectors save, a stride of 2 costs 30 % more without it. */
    const int64_t apart = mm_times(l.lines, mm_round_lanes(out->width));
    if (s->stride_w > 2)
        return out->channels >= MM_JOINED_STRIDED;
    return out->channels >= MM_JOINED_OUTPUTS &&
           20 * joined_row(&l, out) <= (s->stride_w > 1 ? 22 : 17) * apart;
}

/* Output channels that are made at once: what is made of them should not leave the second cache. */
static int64_t joined_outputs(const mm_step *s, const mm_tensor *out)
{
    return mm_smaller(s->quantized < 0 ? 96 : MM_QUANTIZED_CHANNELS, out->channels);
}

static int64_t joined_taps(const mm_step *s, const mm_tensor *in)
{
    return mm_times(in->channels, (int64_t)s->kernel_h * s->kernel_w);
}

/* Behind the weights: the lines of all input channels, and the vector behind the last one. */
static int64_t joined_input(const joined_layout *l, const mm_tensor *in)
{
    return mm_round_lanes(mm_times(in->channels, l->channel) + l->columns) + MM_SLACK;
}

int64_t mm_joined_floats(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    const joined_layout l = joined_layout_of(s, out);
    const int64_t outputs = joined_outputs(s, out);
    const int64_t weights = mm_round_lanes(mm_weights_floats(s, outputs, joined_taps(s, in)));
    return weights + joined_input(&l, in) + mm_times(outputs, joined_row(&l, out)) + MM_SLACK;
}

/* What `lines` lines of the output from y on read, and zeros where that is beyond the picture. */
static void copy_joined(const mm_worker *worker, const mm_step *s, const joined_layout *l,
                        int64_t y, int64_t lines, float *to)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const int64_t rows = lines + l->y.last - l->y.first, stride = s->stride_w;
    for (int64_t p = 0; p < l->y.phases * l->x.phases; p++) {
        const int64_t top = (y + l->y.first) * s->stride_h + l->y.phase + p / l->x.phases;
        const int64_t left = l->x.first * stride + l->x.phase + p % l->x.phases;
        int64_t first, end; /* of the columns that are in the picture */
        mm_clip_window(left, l->columns, stride, in->width, &first, &end);
        for (int64_t c = 0; c < in->channels; c++)
            for (int64_t i = 0; i < rows; i++) {
                const int64_t line = top + i * s->stride_h;
                const int outside = line < 0 || line >= in->height;
                const float *x = outside ? NULL : mm_row(worker, in, line, c) + left;
                float *row = to + c * l->channel + p * l->plane + i * l->columns;
                const int64_t begin = outside ? l->columns : first;
                for (int64_t k = 0; k < begin; k++)
                    row[k] = 0.0f;
                if (outside)
                    continue;
                if (stride == 1)
                    memcpy(row + first, x + first, (size_t)(end - first) * sizeof *row);
                else
                    for (int64_t k = first; k < end; k++)
                        row[k] = x[k * stride];
                for (int64_t k = end; k < l->columns; k++)
                    row[k] = 0.0f;
            }
    }
}

/* Where a tap lies: in which plane, and how far behind its beginning. */
static void list_joined_taps(const mm_step *s, const joined_layout *l, int64_t channels,
                             ptrdiff_t *taps)
{
    for (int64_t r = 0; r < s->kernel_h; r++) {
        const int64_t y = r * s->dilation_h - s->pad_top, line = floor_div(y, s->stride_h);
        const int64_t of_y = l->y.phases > 1 ? y - line * s->stride_h : 0;
        for (int64_t c = 0; c < channels; c++)
            for (int64_t k = 0; k < s->kernel_w; k++) {
                const int64_t x = k * s->dilation_w - s->pad_left;
                const int64_t column = floor_div(x, s->stride_w);
                const int64_t of_x = l->x.phases > 1 ? x - column * s->stride_w : 0;
                *taps++ = (ptrdiff_t)(c * l->channel + (of_y * l->x.phases + of_x) * l->plane +
                                      (line - l->y.first) * l->columns + column - l->x.first);
            }
    }
}

void mm_run_joined(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const joined_layout l = joined_layout_of(s, out);
    const int64_t taps = joined_taps(s, in), most = joined_outputs(s, out),
                  stride = joined_row(&l, out);
    const size_t row = (size_t)out->width * sizeof(float);
    float *from = worker->scratch + mm_round_lanes(mm_weights_floats(s, most, taps));
    float *to = from + joined_input(&l, in);
    const int fused = mm_is_fused(s);
    mm_conv conv = {
        .base = from,
        .taps = worker->taps,
        .tap_count = (size_t)taps,
        .weight_taps = (size_t)taps,
        .out = to,
        .out_stride = (ptrdiff_t)stride,
        .stride = 1,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    list_joined_taps(s, &l, in->channels, worker->taps);
    for (int64_t lines; y < end; y += lines) {
        lines = mm_smaller(l.lines, end - y);
        conv.width = (size_t)joined_pixels(&l, out, lines);
        copy_joined(worker, s, &l, y, lines, from);
        for (int64_t o = 0; o < out->channels; o += most) {
            const int64_t outputs = mm_smaller(most, out->channels - o);
            conv.weight = mm_weights(worker, s, o, outputs, taps);
            conv.bias = mm_parameter(worker, s->bias) + o;
            conv.outputs = (size_t)outputs;
            worker->kernels->conv_stride1(&conv);
            for (int64_t c = 0; c < outputs; c++)
                for (int64_t i = 0; i < lines; i++)
                    memcpy(mm_row(worker, out, y + i, o + c), to + c * stride + i * l.columns, row);
        }
        mm_finish_lines(worker, s, out, y, y + lines, fused);
    }
}

/* steps.c - what a step does to one line (or one tile of lines) of one image.  Arithmetic on rows is
   in the kernels; what is here is which rows.  There is no other entry than mm_step_line, so that
   threads, bands, batches and tests compute every line in the same way. */
#include "program.h"

#include <math.h>
#include <string.h>

static float *row_of(const mm_lane *lane, const mm_tensor *t, int64_t line, int64_t channel)
{
    return (t->ring < 0 ? lane->arena : lane->rings) + t->offset +
           (line & t->line_mask) * t->line_stride + channel * t->row_stride;
}

static const float *parameter(const mm_lane *lane, int64_t offset)
{
    return lane->program->parameters + offset;
}

/* Horizontal padding: zeros behind a row, and before the first of a line. */
static void zero_padding(const mm_tensor *t, float *row, int64_t channel)
{
    memset(row + t->width, 0, (size_t)(t->row_stride - t->width) * sizeof *row);
    if (channel == 0) {
        int64_t gap = mm_gap(t);
        memset(row - gap, 0, (size_t)gap * sizeof *row);
    }
}

/* The epilogue of a step on one row that it has just written, while it is in the cache. */
static void finish_row(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                       int64_t channel)
{
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)t->width;
    if (s->activation >= 0) {
        if (s->slopes < 0)
            mm_activation_of(k, s->activation)(row, row, width, s->slope);
        else if (t->is_vector)
            k->prelu(row, parameter(lane, s->slopes), row, width);
        else
            k->leaky_relu(row, row, width, parameter(lane, s->slopes)[channel]);
    }
    if (s->scale >= 0) {
        const float *scale = parameter(lane, s->scale), *shift = parameter(lane, s->shift);
        if (t->is_vector) {
            k->mul(row, scale, row, width);
            k->add(row, shift, row, width);
        } else {
            k->affine(row, row, width, scale[channel], shift[channel]);
        }
    }
    zero_padding(t, row, channel);
}

/* Valid taps [first, end) of a window that starts at input line `start`. */
static void clip_window(int64_t start, int64_t kernel, int64_t dilation, int64_t size,
                        int64_t *first, int64_t *end)
{
    int64_t low = start < 0 ? (-start + dilation - 1) / dilation : 0;
    int64_t high = start < size ? (size - start + dilation - 1) / dilation : 0;
    *end = high < kernel ? high : kernel;
    *first = low < *end ? low : *end;
}

/* --- the caller's arrays ---------------------------------------------------------------- */

static void run_input_f32(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const float *image = (const float *)lane->inputs[s->array] +
                         lane->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = row_of(lane, t, y, c);
        memcpy(row, image + (c * t->height + y) * t->width, (size_t)t->width * sizeof *row);
        finish_row(lane, s, t, row, c);
    }
}

static void run_input_u8(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const uint8_t *line = (const uint8_t *)lane->inputs[s->array] +
                          (lane->image * t->height + y) * t->width * t->channels;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = row_of(lane, t, y, c);
        for (int64_t x = 0; x < t->width; x++)
            row[x] = (float)line[x * t->channels + c] / 255.0f;
        finish_row(lane, s, t, row, c);
    }
}

static void run_output(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->input];
    float *image = lane->outputs[s->array] + lane->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++)
        memcpy(image + (c * t->height + y) * t->width, row_of(lane, t, y, c),
               (size_t)t->width * sizeof *image);
}

/* --- moving data ------------------------------------------------------------------------ */

/* memmove, since mm_check lets the tensors of a step overlap. */
static void copy_floats(float *to, const float *from, int64_t count)
{
    memmove(to, from, (size_t)count * sizeof *to);
}

static void run_copy(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    if (in->is_vector && in->width != out->width) { /* a part of a concatenation */
        float *row = row_of(lane, out, 0, 0);
        copy_floats(row + s->at, row_of(lane, in, 0, 0), in->width);
        zero_padding(out, row, 0);
        return;
    }
    for (int64_t c = 0; c < in->channels; c++) {
        float *row = row_of(lane, out, y, c + s->at);
        copy_floats(row, row_of(lane, in, y, c), in->width);
        finish_row(lane, s, out, row, c + s->at);
    }
}

static void run_zero(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = row_of(lane, out, y, c);
        memset(row, 0, (size_t)out->width * sizeof *row);
        zero_padding(out, row, c);
    }
}

static void run_flatten(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = row_of(lane, out, 0, 0), *p = row;
    (void)y;
    for (int64_t c = 0; c < in->channels; c++)
        for (int64_t line = 0; line < in->height; line++, p += in->width)
            copy_floats(p, row_of(lane, in, line, c), in->width);
    finish_row(lane, s, out, row, 0);
}

static void run_nearest(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const int32_t *from = lane->program->tables + s->second_table;
    int64_t line = lane->program->tables[s->first_table + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = row_of(lane, in, line, c);
        float *row = row_of(lane, out, y, c);
        for (int64_t x = 0; x < out->width; x++)
            row[x] = a[from[x]];
        finish_row(lane, s, out, row, c);
    }
}

/* Tables hold the two neighbours of each line (column), constants the weight of the second. */
static void run_bilinear(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_program *p = lane->program;
    const mm_tensor *in = &p->tensors[s->input], *out = &p->tensors[s->output];
    const int32_t *lines = p->tables + s->first_table + 2 * y;
    const int32_t *from = p->tables + s->second_table;
    const float *wx = p->constants + s->second_constant;
    const float wy = p->constants[s->first_constant + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = row_of(lane, in, lines[0], c), *b = row_of(lane, in, lines[1], c);
        float *row = row_of(lane, out, y, c);
        for (int64_t x = 0; x < out->width; x++) {
            int32_t i = from[2 * x], j = from[2 * x + 1];
            float top = a[i] * (1.0f - wx[x]) + a[j] * wx[x];
            float bottom = b[i] * (1.0f - wx[x]) + b[j] * wx[x];
            row[x] = top * (1.0f - wy) + bottom * wy;
        }
        finish_row(lane, s, out, row, c);
    }
}

/* --- arithmetic ------------------------------------------------------------------------- */

static void run_conv(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    mm_conv_fn *kernel = s->stride_w == 1   ? lane->kernels->conv_stride1
                         : s->stride_w == 2 ? lane->kernels->conv_stride2
                                            : lane->kernels->conv_any_stride;
    int64_t channels = in->channels / s->groups, filters = out->channels / s->groups;
    int64_t start = y * s->stride_h - s->pad_top, first, end;
    clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
    mm_conv c = {
        .rows = lane->rows,
        .channel_stride = in->row_stride,
        .out_stride = out->row_stride,
        .row_count = end - first,
        .channels = channels,
        .kernel_w = s->kernel_w,
        .stride = s->stride_w,
        .dilation = s->dilation_w,
        .width = (size_t)out->width,
    };
    int64_t taps = channels * s->kernel_w;
    const float *weight = parameter(lane, s->weight);
    for (int64_t g = 0; g < s->groups; g++) {
        for (int64_t r = first; r < end; r++)
            lane->rows[r - first] =
                row_of(lane, in, start + r * s->dilation_h, g * channels) - s->pad_left;
        for (int64_t o = 0; o < filters; o += c.block) {
            int64_t left = filters - o;
            c.block = left >= MM_BLOCK ? MM_BLOCK : left >= 2 ? 2 : 1;
            c.weight = weight + first * taps * c.block;
            c.bias = parameter(lane, s->bias) + g * filters + o;
            c.out = row_of(lane, out, y, g * filters + o);
            kernel(&c);
            weight += s->kernel_h * taps * c.block;
        }
    }
    for (int64_t o = 0; o < out->channels; o++)
        finish_row(lane, s, out, row_of(lane, out, y, o), o);
}

/* The tile of lines from y on.  Scratch: the transformed input and what loads may run over, then
   for one block of output channels what the eight convolutions make of it, then a row for lines
   below the picture. */
static void run_winograd(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    const float *zeros = lane->program->constants + s->first_constant;
    int64_t gap = mm_gap(in), row = mm_round_lanes(in->row_stride + gap);
    int64_t wide = mm_round_lanes(out->width);
    int64_t point = in->channels * row, lines = mm_granule(s), taps = in->channels * s->kernel_w;
    int64_t reach = wide + (int64_t)(s->kernel_w - 1) * s->dilation_w + MM_SLACK;
    float *transformed = lane->scratch;
    float *products = transformed + MM_WINOGRAD_POINTS * point + reach;
    float *spare = products + MM_WINOGRAD_POINTS * MM_BLOCK * wide, *rows[6];
    static const float no_bias[MM_BLOCK] = {0};
    for (int64_t c = 0; c < in->channels; c++) {
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            int64_t line = y - s->pad_top + i;
            lane->rows[i] = line < 0 || line >= in->height ? zeros : row_of(lane, in, line, c) - gap;
        }
        k->winograd_in(lane->rows, transformed + c * row, point, (size_t)row);
    }
    mm_conv conv = {.rows = lane->rows, .bias = no_bias, .channel_stride = row, .out_stride = wide,
                    .row_count = 1, .channels = in->channels, .kernel_w = s->kernel_w, .stride = 1,
                    .dilation = s->dilation_w, .width = (size_t)out->width,
                    .weight = parameter(lane, s->weight)};
    for (int64_t o = 0; o < out->channels; o += conv.block) {
        int64_t left = out->channels - o;
        conv.block = left >= MM_BLOCK ? MM_BLOCK : left >= 2 ? 2 : 1;
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            lane->rows[0] = transformed + i * point + gap - s->pad_left;
            conv.out = products + i * MM_BLOCK * wide;
            k->conv_stride1(&conv);
            conv.weight += taps * conv.block;
        }
        for (int64_t b = 0; b < conv.block; b++) {
            for (int64_t i = 0; i < lines; i++)
                rows[i] = y + i < out->height ? row_of(lane, out, y + i, o + b) : spare;
            k->winograd_out(products + b * wide, MM_BLOCK * wide, parameter(lane, s->bias)[o + b],
                            rows, (size_t)lines, (size_t)out->width);
            for (int64_t i = 0; i < lines && y + i < out->height; i++)
                finish_row(lane, s, out, rows[i], o + b);
        }
    }
}

static void run_linear(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = row_of(lane, out, 0, 0);
    (void)y;
    lane->kernels->linear(row_of(lane, in, 0, 0), parameter(lane, s->weight),
                          parameter(lane, s->bias), row, (size_t)in->width, (size_t)out->width);
    finish_row(lane, s, out, row, 0);
}

/* Input rows of the window of output line y, into lane->rows; returns how many. */
static int64_t window_rows(const mm_lane *lane, const mm_step *s, int64_t y, int64_t channel)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    int64_t start = y * s->stride_h - s->pad_top, first, end;
    clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
    for (int64_t r = first; r < end; r++)
        lane->rows[r - first] = row_of(lane, in, start + r * s->dilation_h, channel);
    return end - first;
}

/* A pool is separable: the lines of the window are folded into one row of scratch with its
   padding around it, and the window then slides along that row. */
static void pool_rows(const mm_lane *lane, const mm_step *s, int64_t count, float fill,
                      mm_fold_fn *fold, mm_slide_fn *slide, float *out_row)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    int64_t before = s->pad_left, behind = before + (count ? in->width : 0);
    int64_t needed = (int64_t)(out->width - 1) * s->stride_w +
                     (int64_t)(s->kernel_w - 1) * s->dilation_w + 1;
    if (count)
        fold(lane->rows, (size_t)count, lane->scratch + before, (size_t)in->width);
    for (int64_t x = 0; x < before; x++)
        lane->scratch[x] = fill;
    for (int64_t x = behind; x < needed; x++)
        lane->scratch[x] = fill;
    slide(lane->scratch, out_row, (size_t)out->width, (size_t)s->kernel_w, (size_t)s->stride_w,
          (size_t)s->dilation_w);
}

/* The largest inner(x) of a window is that of its smallest or of its largest x: two evaluations.
   There is no such short way to the smallest. */
static void pool_inner(const mm_lane *lane, const mm_step *s, int64_t count, int smallest, float *row)
{
    const mm_kernels *k = lane->kernels;
    mm_unary_fn *f = mm_activation_of(k, s->inner);
    size_t in_width = (size_t)lane->program->tensors[s->input].width;
    size_t width = (size_t)lane->program->tensors[s->output].width;
    float *spare = lane->scratch + mm_pool_scratch(lane->program, s);
    if (smallest) {
        for (int64_t r = 0; r < count; r++) {
            float *evaluated = spare + r * mm_round_lanes((int64_t)in_width);
            f(lane->rows[r], evaluated, in_width, 0.0f);
            lane->rows[r] = evaluated;
        }
        pool_rows(lane, s, count, INFINITY, k->fold_min, k->slide_min, row);
        return;
    }
    const float *both[2] = {row, spare};
    pool_rows(lane, s, count, INFINITY, k->fold_min, k->slide_min, spare);
    pool_rows(lane, s, count, -INFINITY, k->fold_max, k->slide_max, row);
    f(spare, spare, width, 0.0f);
    f(row, row, width, 0.0f);
    k->fold_max(both, 2, row, width);
}

static void run_max_pool(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    for (int64_t c = 0; c < out->channels; c++) {
        int64_t count = window_rows(lane, s, y, c);
        int smallest = s->sign >= 0 && parameter(lane, s->sign)[c] < 0.0f;
        float *row = row_of(lane, out, y, c);
        if (s->inner >= 0)
            pool_inner(lane, s, count, smallest, row);
        else if (smallest)
            pool_rows(lane, s, count, INFINITY, k->fold_min, k->slide_min, row);
        else
            pool_rows(lane, s, count, -INFINITY, k->fold_max, k->slide_max, row);
        finish_row(lane, s, out, row, c);
    }
}

static void run_avg_pool(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    const float *constants = lane->program->constants;
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = row_of(lane, out, y, c);
        int64_t count = window_rows(lane, s, y, c);
        pool_rows(lane, s, count, 0.0f, k->fold_sum, k->slide_sum, row);
        k->mul(row, constants + s->second_constant, row, (size_t)out->width);
        k->affine(row, row, (size_t)out->width, constants[s->first_constant + y], 0.0f);
        finish_row(lane, s, out, row, c);
    }
}

static void run_global_avg_pool(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    double count = (double)in->height * in->width;
    (void)y;
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = row_of(lane, out, 0, c);
        double sum = 0.0;
        for (int64_t line = 0; line < in->height; line++)
            sum += lane->kernels->reduce_sum(row_of(lane, in, line, c), (size_t)in->width);
        row[0] = (float)(sum / count);
        finish_row(lane, s, out, row, c);
    }
}

static void run_binary(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *tensors = lane->program->tensors;
    const mm_tensor *a = &tensors[s->input], *b = &tensors[s->second], *out = &tensors[s->output];
    int factor = mm_is_factor(b, out), add = s->op == MM_OP_ADD;
    size_t width = (size_t)out->width;
    for (int64_t c = 0; c < out->channels; c++) {
        const float *x = row_of(lane, a, y, c), *f = row_of(lane, b, factor ? 0 : y, c);
        float *row = row_of(lane, out, y, c);
        if (factor)
            lane->kernels->affine(x, row, width, add ? 1.0f : f[0], add ? f[0] : 0.0f);
        else
            (add ? lane->kernels->add : lane->kernels->mul)(x, f, row, width);
        finish_row(lane, s, out, row, c);
    }
}

static void softmax_vector(const mm_lane *lane, const mm_step *s, const mm_tensor *in,
                           const mm_tensor *out)
{
    const float *x = row_of(lane, in, 0, 0);
    float *row = row_of(lane, out, 0, 0), largest = x[0];
    size_t width = (size_t)in->width;
    double sum = 0.0;
    for (size_t i = 1; i < width; i++)
        largest = x[i] > largest ? x[i] : largest;
    lane->kernels->affine(x, row, width, 1.0f, -largest);
    lane->kernels->exp(row, row, width, 0.0f);
    for (size_t i = 0; i < width; i++)
        sum += row[i];
    for (size_t i = 0; i < width; i++)
        row[i] = (float)(row[i] / sum);
    finish_row(lane, s, out, row, 0);
}

static void run_softmax(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)in->width, channels = (size_t)in->channels;
    if (in->is_vector) {
        softmax_vector(lane, s, in, out);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        lane->rows[c] = row_of(lane, in, y, (int64_t)c);
    k->fold_max(lane->rows, channels, lane->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = row_of(lane, out, y, (int64_t)c);
        k->sub(lane->rows[c], lane->scratch, row, width);
        k->exp(row, row, width, 0.0f);
        lane->rows[c] = row;
    }
    k->fold_sum(lane->rows, channels, lane->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = row_of(lane, out, y, (int64_t)c);
        k->div(row, lane->scratch, row, width);
        finish_row(lane, s, out, row, (int64_t)c);
    }
}

/* --- the table -------------------------------------------------------------------------- */

typedef void line_fn(const mm_lane *lane, const mm_step *s, int64_t y);

static line_fn *const LINE_FUNCTIONS[MM_OP_COUNT] = {
    [MM_OP_INPUT_F32] = run_input_f32,
    [MM_OP_INPUT_U8] = run_input_u8,
    [MM_OP_OUTPUT] = run_output,
    [MM_OP_COPY] = run_copy,
    [MM_OP_ZERO] = run_zero,
    [MM_OP_CONV] = run_conv,
    [MM_OP_WINOGRAD] = run_winograd,
    [MM_OP_LINEAR] = run_linear,
    [MM_OP_MAX_POOL] = run_max_pool,
    [MM_OP_AVG_POOL] = run_avg_pool,
    [MM_OP_GLOBAL_AVG_POOL] = run_global_avg_pool,
    [MM_OP_ADD] = run_binary,
    [MM_OP_MUL] = run_binary,
    [MM_OP_FLATTEN] = run_flatten,
    [MM_OP_SOFTMAX] = run_softmax,
    [MM_OP_NEAREST] = run_nearest,
    [MM_OP_BILINEAR] = run_bilinear,
};

void mm_step_line(const mm_lane *lane, const mm_step *s, int64_t y)
{
    LINE_FUNCTIONS[s->op](lane, s, y);
}

/* program.c - runs a checked program: one function per operation, each for a range of lines of one
   image, so that threads, batches and tests use the same entry.  Arithmetic on rows is in the
   kernels; what is here is which rows. */
#include "program.h"

#include <math.h>
#include <string.h>

#include "kernels.h"
#include "threads.h"

typedef struct {
    const mm_program *program;
    const mm_kernels *kernels;
    mm_pool *pool;
    const void *const *inputs;
    float *const *outputs;
    int64_t batch, split; /* images below `split` go to one thread each, the rest to all */
    char *workspace;
    size_t scratch_bytes, arena_bytes;
    volatile int32_t next;
} run_t;

/* One thread on one image. */
typedef struct {
    const run_t *run;
    const mm_program *program;
    const mm_kernels *kernels;
    float *arena, *rings, *scratch;
    const float **rows;
    int64_t image;
} lane_t;

static float *row_of(const lane_t *lane, const mm_tensor *t, int64_t line, int64_t channel)
{
    return (t->ring < 0 ? lane->arena : lane->rings) + t->offset +
           (line & t->line_mask) * t->line_stride + channel * t->row_stride;
}

static const float *parameter(const lane_t *lane, int64_t offset)
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
static void finish_row(const lane_t *lane, const mm_step *s, const mm_tensor *t, float *row,
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

static void run_input_f32(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const float *image = (const float *)lane->run->inputs[s->array] +
                         lane->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = row_of(lane, t, y, c);
        memcpy(row, image + (c * t->height + y) * t->width, (size_t)t->width * sizeof *row);
        finish_row(lane, s, t, row, c);
    }
}

static void run_input_u8(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const uint8_t *line = (const uint8_t *)lane->run->inputs[s->array] +
                          (lane->image * t->height + y) * t->width * t->channels;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = row_of(lane, t, y, c);
        for (int64_t x = 0; x < t->width; x++)
            row[x] = (float)line[x * t->channels + c] / 255.0f;
        finish_row(lane, s, t, row, c);
    }
}

static void run_output(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->input];
    float *image = lane->run->outputs[s->array] + lane->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++)
        memcpy(image + (c * t->height + y) * t->width, row_of(lane, t, y, c),
               (size_t)t->width * sizeof *image);
}

/* --- moving data ------------------------------------------------------------------------ */

static void run_copy(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    size_t bytes = (size_t)in->width * sizeof(float);
    if (in->is_vector && in->width != out->width) { /* a part of a concatenation */
        float *row = row_of(lane, out, 0, 0);
        memcpy(row + s->at, row_of(lane, in, 0, 0), bytes);
        zero_padding(out, row, 0);
        return;
    }
    for (int64_t c = 0; c < in->channels; c++) {
        float *row = row_of(lane, out, y, c + s->at);
        memcpy(row, row_of(lane, in, y, c), bytes);
        finish_row(lane, s, out, row, c + s->at);
    }
}

static void run_zero(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = row_of(lane, out, y, c);
        memset(row, 0, (size_t)out->width * sizeof *row);
        zero_padding(out, row, c);
    }
}

static void run_flatten(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = row_of(lane, out, 0, 0), *p = row;
    (void)y;
    for (int64_t c = 0; c < in->channels; c++)
        for (int64_t line = 0; line < in->height; line++, p += in->width)
            memcpy(p, row_of(lane, in, line, c), (size_t)in->width * sizeof *p);
    finish_row(lane, s, out, row, 0);
}

static void run_nearest(const lane_t *lane, const mm_step *s, int64_t y)
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
static void run_bilinear(const lane_t *lane, const mm_step *s, int64_t y)
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

static void run_conv(const lane_t *lane, const mm_step *s, int64_t y)
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
static void run_winograd(const lane_t *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    const float *zeros = lane->program->constants + s->first_constant;
    int64_t gap = mm_gap(in), row = in->row_stride + gap, wide = mm_round_lanes(out->width);
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

static void run_linear(const lane_t *lane, const mm_step *s, int64_t y)
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
static int64_t window_rows(const lane_t *lane, const mm_step *s, int64_t y, int64_t channel)
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
static void pool_rows(const lane_t *lane, const mm_step *s, int64_t count, float fill,
                      mm_fold_fn *fold, mm_slide_fn *slide, float *out_row)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    int64_t before = s->pad_left, behind = before + (count ? in->width : 0);
    int64_t needed = (int64_t)(out->width - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
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
static void pool_inner(const lane_t *lane, const mm_step *s, int64_t count, int smallest, float *row)
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

static void run_max_pool(const lane_t *lane, const mm_step *s, int64_t y)
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

static void run_avg_pool(const lane_t *lane, const mm_step *s, int64_t y)
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

static void run_global_avg_pool(const lane_t *lane, const mm_step *s, int64_t y)
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

static void run_binary(const lane_t *lane, const mm_step *s, int64_t y)
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

static void softmax_vector(const lane_t *lane, const mm_step *s, const mm_tensor *in,
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

static void run_softmax(const lane_t *lane, const mm_step *s, int64_t y)
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

/* --- running ---------------------------------------------------------------------------- */

typedef void line_fn(const lane_t *lane, const mm_step *s, int64_t y);

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

static int64_t lines_of(const mm_program *p, const mm_step *s)
{
    return p->tensors[s->op == MM_OP_OUTPUT ? s->input : s->output].height;
}

typedef struct {
    int64_t start, end;
} range_t;

/* Add the input lines that lines `out` of a step need to what is needed of the input's ring. */
static void add_need(const mm_tensor *in, const mm_step *s, range_t out, range_t *needs)
{
    if (in->ring < 0)
        return;
    range_t *need = &needs[in->ring];
    int windows = s->op == MM_OP_CONV || s->op == MM_OP_WINOGRAD || s->op == MM_OP_MAX_POOL || s->op == MM_OP_AVG_POOL;
    if (windows) {
        out.start = out.start * s->stride_h - s->pad_top;
        out.end = (out.end - 1) * s->stride_h - s->pad_top + (s->kernel_h - 1) * s->dilation_h + 1;
    }
    out.start = out.start < 0 ? 0 : out.start;
    out.end = out.end > in->height ? in->height : out.end;
    need->start = out.start < need->start ? out.start : need->start;
    need->end = out.end > need->end ? out.end : need->end;
}

/* One band of a stage: lines [band.start, band.end) of its last step.  done[i]: the lines that
   step i has computed end there. */
static void run_band(const lane_t *lane, const mm_stage *stage, range_t band, int64_t *done)
{
    const mm_program *p = lane->program;
    const mm_step *steps = p->steps + stage->first;
    range_t needs[MM_MAX_STAGE], own[MM_MAX_STAGE];
    for (int i = 0; i < stage->count; i++)
        needs[i] = (range_t){INT64_MAX, 0};
    for (int i = stage->count - 1; i >= 0; i--) {
        const mm_step *s = &steps[i];
        own[i] = i == stage->count - 1 ? band : needs[p->tensors[s->output].ring];
        if (own[i].start >= own[i].end)
            continue;
        int64_t granule = mm_granule(s), lines = lines_of(p, s);
        own[i].start -= own[i].start % granule;
        own[i].end += (granule - own[i].end % granule) % granule;
        own[i].end = own[i].end > lines ? lines : own[i].end;
        if (s->input >= 0)
            add_need(&p->tensors[s->input], s, own[i], needs);
        if (s->second >= 0)
            add_need(&p->tensors[s->second], s, own[i], needs);
    }
    for (int i = 0; i < stage->count; i++) {
        int64_t y = done[i] > own[i].start ? done[i] : own[i].start;
        for (; y < own[i].end; y += mm_granule(&steps[i]))
            LINE_FUNCTIONS[steps[i].op](lane, &steps[i], y);
        done[i] = own[i].end > done[i] ? own[i].end : done[i];
    }
}

/* The part-th of `parts` equal shares of a stage. */
static void run_stage(const lane_t *lane, const mm_stage *stage, int64_t part, int64_t parts)
{
    const mm_step *last = &lane->program->steps[stage->first + stage->count - 1];
    int64_t lines = lines_of(lane->program, last), size = stage->band;
    int64_t bands = (lines + size - 1) / size, done[MM_MAX_STAGE] = {0};
    for (int64_t b = bands * part / parts; b < bands * (part + 1) / parts; b++) {
        int64_t end = (b + 1) * size;
        run_band(lane, stage, (range_t){b * size, end < lines ? end : lines}, done);
    }
}

/* Bytes rounded up to whole cache lines. */
static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

static lane_t lane_at(const run_t *run, int thread, int arena, int64_t image)
{
    const mm_program *p = run->program;
    int threads = mm_pool_threads(run->pool);
    char *rows = run->workspace + (size_t)thread * run->scratch_bytes;
    char *scratch = rows + whole_lines((size_t)p->max_rows * sizeof(float *));
    char *rings = scratch + whole_lines((size_t)p->scratch_floats * sizeof(float));
    char *memory = run->workspace + (size_t)threads * run->scratch_bytes +
                   (size_t)arena * run->arena_bytes;
    return (lane_t){
        .run = run,
        .program = p,
        .kernels = run->kernels,
        .arena = (float *)(void *)memory,
        .rings = (float *)(void *)rings,
        .scratch = (float *)(void *)scratch,
        .rows = (const float **)(void *)rows,
        .image = image,
    };
}

static void run_task(void *context, int thread)
{
    run_t *run = context;
    const mm_program *p = run->program;
    int threads = mm_pool_threads(run->pool);
    for (;;) {
        int64_t image = run->split ? mm_atomic_next(&run->next) : 0;
        if (image >= run->split)
            break;
        lane_t lane = lane_at(run, thread, thread, image);
        for (int64_t i = 0; i < p->stage_count; i++)
            run_stage(&lane, &p->stages[i], 0, 1);
    }
    mm_pool_barrier(run->pool); /* arena 0 is everyone's from here on */
    for (int64_t image = run->split; image < run->batch; image++) {
        lane_t lane = lane_at(run, thread, 0, image);
        for (int64_t i = 0; i < p->stage_count; i++) {
            run_stage(&lane, &p->stages[i], thread, threads);
            mm_pool_barrier(run->pool);
        }
    }
}

/* Bytes of one thread's scratch and of one image's arena. */
static void workspace_parts(const mm_program *p, size_t *scratch, size_t *arena)
{
    *scratch = whole_lines((size_t)p->max_rows * sizeof(float *)) +
               whole_lines((size_t)p->scratch_floats * sizeof(float)) +
               whole_lines((size_t)p->ring_floats * sizeof(float));
    *arena = whole_lines((size_t)p->arena_floats * sizeof(float));
}

size_t mm_workspace_bytes(const mm_program *program, int threads, int lanes)
{
    size_t scratch, arena;
    if (threads < 1 || lanes < 1 ||
        (uint64_t)program->arena_floats > (SIZE_MAX >> 4) / (unsigned)lanes ||
        (uint64_t)program->scratch_floats > (SIZE_MAX >> 6) / (unsigned)threads ||
        (uint64_t)program->ring_floats > (SIZE_MAX >> 6) / (unsigned)threads ||
        (uint64_t)program->max_rows > (SIZE_MAX >> 6) / (unsigned)threads)
        return 0;
    workspace_parts(program, &scratch, &arena);
    return scratch * (size_t)threads + arena * (size_t)lanes;
}

int mm_run(const mm_program *program, int isa, mm_pool *pool, const void *const *inputs,
           float *const *outputs, int64_t batch, void *workspace, int lanes)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    int threads = mm_pool_threads(pool);
    if (!kernels)
        return MM_E_ISA;
    if (batch < 0 || batch > INT32_MAX / 2)
        return MM_E_PROGRAM;
    run_t run = {.program = program, .kernels = kernels, .pool = pool, .inputs = inputs,
                 .outputs = outputs, .batch = batch, .workspace = workspace};
    workspace_parts(program, &run.scratch_bytes, &run.arena_bytes);
    if (lanes >= threads)
        run.split = batch - batch % threads;
    mm_pool_run(pool, run_task, &run);
    return MM_OK;
}

int mm_activate(int isa, int activation, float slope, const float *x, float *y, size_t n)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    if (!kernels)
        return MM_E_ISA;
    mm_unary_fn *f = mm_activation_of(kernels, activation);
    if (!f)
        return MM_E_PROGRAM;
    size_t whole = n / MM_LANES * MM_LANES, rest = n - whole;
    f(x, y, whole, slope);
    if (rest) {
        float lanes[MM_LANES] = {0.0f};
        memcpy(lanes, x + whole, rest * sizeof *x);
        f(lanes, lanes, MM_LANES, slope);
        memcpy(y + whole, lanes, rest * sizeof *y);
    }
    return MM_OK;
}

const char *mm_strerror(int code)
{
    switch (code) {
    case MM_OK:
        return "done";
    case MM_E_NOMEM:
        return "out of memory";
    case MM_E_PROGRAM:
        return "the program contradicts itself";
    case MM_E_ISA:
        return "this machine or build lacks the instruction set";
    case MM_E_THREADS:
        return "the system gave no thread";
    default:
        return "unknown status";
    }
}

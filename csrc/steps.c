/* steps.c - what a step does to lines of one image.  Arithmetic on rows is
   in the kernels; what is here is which rows.  There is no other entry than mm_step_lines, so that
   threads, bands, batches and tests compute every line in the same way. */
#include "program.h"

#include <math.h>
#include <string.h>

static float *memory_of(const mm_lane *lane, const mm_tensor *t)
{
    return t->ring < 0 ? lane->arena : lane->rings;
}

static float *row_of(const mm_lane *lane, const mm_tensor *t, int64_t line, int64_t channel)
{
    return memory_of(lane, t) + t->offset + (line & t->line_mask) * t->line_stride +
           channel * t->row_stride;
}

static const float *parameter(const mm_lane *lane, int64_t offset)
{
    return lane->program->parameters + offset;
}

/* `count` floats, a multiple of MM_LANES, of zeros; fixed sizes, so that no call is made. */
static void clear(float *p, int64_t count)
{
    for (float *end = p + count; p < end; p += MM_LANES)
        memset(p, 0, MM_LANES * sizeof *p);
}

/* The gaps behind a row, and before the first of a line. */
static void clear_gaps(const mm_tensor *t, float *row, int64_t channel)
{
    int64_t gap = mm_gap(t);
    clear(row + mm_round_lanes(t->width), gap);
    if (channel == 0)
        clear(row - gap, gap);
}

/* Horizontal padding.  The gaps of rings are cleared once, by mm_clear_rings: no kernel writes
   into them. */
static void zero_padding(const mm_tensor *t, float *row, int64_t channel)
{
    int64_t whole = mm_round_lanes(t->width);
    for (int64_t x = t->width; x < whole; x++)
        row[x] = 0.0f;
    if (t->ring < 0)
        clear_gaps(t, row, channel);
}

void mm_clear_rings(const mm_lane *lane, const mm_stage *stage)
{
    const mm_step *s = lane->program->steps + stage->first;
    for (int32_t i = 0; i < stage->count; i++, s++) {
        const mm_tensor *t = s->output < 0 ? NULL : &lane->program->tensors[s->output];
        if (!t || t->ring < 0)
            continue;
        int64_t lines = t->line_mask + 1 < t->height ? t->line_mask + 1 : t->height;
        for (int64_t y = 0; y < lines; y++)
            for (int64_t c = 0; c < t->channels; c++)
                clear_gaps(t, row_of(lane, t, y, c), c);
    }
}

/* Whether kernels apply the activation of a step themselves. */
static int is_fused(const mm_step *s)
{
    return s->slopes < 0 && s->activation <= MM_LEAKY_RELU;
}

static void apply_activation(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                             int64_t channel)
{
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)t->width;
    if (s->slopes < 0)
        mm_activation_of(k, s->activation)(row, row, width, s->slope);
    else if (t->is_vector)
        k->prelu(row, parameter(lane, s->slopes), row, width);
    else
        k->leaky_relu(row, row, width, parameter(lane, s->slopes)[channel]);
}

/* The epilogue of a step on one row that it has just written, while it is in the cache; `done`:
   the activation is applied already. */
static void finish_row(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                       int64_t channel, int done)
{
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)t->width;
    if (s->activation >= 0 && !done)
        apply_activation(lane, s, t, row, channel);
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

/* Lines [y, end) that kernels have written, their activation applied if `done`. */
static void finish_lines(const mm_lane *lane, const mm_step *s, const mm_tensor *t, int64_t y,
                         int64_t end, int done)
{
    if (done && s->scale < 0 && t->ring >= 0 && t->width % MM_LANES == 0)
        return; /* nothing is left to do */
    for (; y < end; y++)
        for (int64_t c = 0; c < t->channels; c++)
            finish_row(lane, s, t, row_of(lane, t, y, c), c, done);
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
        finish_row(lane, s, t, row, c, 0);
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
        finish_row(lane, s, t, row, c, 0);
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
        finish_row(lane, s, out, row, c + s->at, 0);
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
    finish_row(lane, s, out, row, 0, 0);
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
        finish_row(lane, s, out, row, c, 0);
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
        finish_row(lane, s, out, row, c, 0);
    }
}

/* --- arithmetic ------------------------------------------------------------------------- */

/* Offsets within a line of the taps of one kernel line. */
static void list_taps(ptrdiff_t *taps, int64_t channels, int64_t channel_stride, const mm_step *s)
{
    for (int64_t c = 0; c < channels; c++)
        for (int32_t k = 0; k < s->kernel_w; k++)
            *taps++ = (ptrdiff_t)(c * channel_stride + (int64_t)k * s->dilation_w);
}

static int block_of(int64_t filters) { return filters >= MM_BLOCK ? MM_BLOCK : filters >= 2 ? 2 : 1; }

static void run_conv(const mm_lane *lane, const mm_step *s, int64_t y, int64_t lines_end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    mm_conv_fn *kernel = s->stride_w == 1   ? lane->kernels->conv_stride1
                         : s->stride_w == 2 ? lane->kernels->conv_stride2
                                            : lane->kernels->conv_any_stride;
    const int64_t channels = in->channels / s->groups, filters = out->channels / s->groups;
    const int64_t line_taps = channels * s->kernel_w;
    const float *memory = memory_of(lane, in);
    const int fused = is_fused(s);
    ptrdiff_t *of_line = lane->taps, *taps = of_line + line_taps;
    list_taps(of_line, channels, in->row_stride, s);
    mm_conv c = {
        .base = memory,
        .taps = taps,
        .tap_count = 0,
        .weight = NULL,
        .bias = NULL,
        .out = NULL,
        .out_stride = (ptrdiff_t)out->row_stride,
        .stride = s->stride_w,
        .width = (size_t)out->width,
        .block = 0,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (; y < lines_end; y++) {
        const float *weight = parameter(lane, s->weight), *bias = parameter(lane, s->bias);
        int64_t start = y * s->stride_h - s->pad_top, first, end;
        ptrdiff_t *tap = taps;
        clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
        for (int64_t r = first; r < end; r++, tap += line_taps) {
            ptrdiff_t row = row_of(lane, in, start + r * s->dilation_h, 0) - s->pad_left - memory;
            for (int64_t t = 0; t < line_taps; t++)
                tap[t] = row + of_line[t];
        }
        c.tap_count = (size_t)(tap - taps);
        c.out = row_of(lane, out, y, 0);
        for (int64_t g = 0; g < s->groups; g++) {
            c.base = memory + g * channels * in->row_stride;
            for (int64_t o = 0; o < filters; o += c.block) {
                c.block = block_of(filters - o);
                c.weight = weight + first * line_taps * c.block;
                c.bias = bias + g * filters + o;
                kernel(&c);
                weight += s->kernel_h * line_taps * c.block;
                c.out += c.block * out->row_stride;
            }
        }
        finish_lines(lane, s, out, y, y + 1, fused);
    }
}

/* Columns [x, x + width) of the tile of every dilation_h-th line from y on, few enough to stay in the
   first cache.  Scratch: the transformed input, then for one block of output channels what the
   eight convolutions make of it, then a row for lines below the picture. */
static void winograd_tile(const mm_lane *lane, const mm_step *s, int64_t y, int64_t x, int64_t width)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    const float *zeros = lane->program->constants + s->first_constant;
    int64_t wide = mm_winograd_columns(in, out) + MM_LANES, row = mm_winograd_row(s, in, out);
    int64_t height = MM_WINOGRAD_POINTS + 1 - s->kernel_h, point = in->channels * row;
    int64_t left = mm_winograd_left(s), extra = left - s->pad_left;
    int64_t needed = width + extra + (int64_t)(s->kernel_w - 1) * s->dilation_w;
    float *transformed = lane->scratch, *products = transformed + MM_WINOGRAD_POINTS * point;
    float *spare = products + MM_WINOGRAD_POINTS * MM_BLOCK * wide, *rows[6];
    static const float no_bias[MM_BLOCK] = {0};
    for (int64_t c = 0; c < in->channels; c++) {
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            int64_t line = y - s->pad_top + i * s->dilation_h;
            lane->rows[i] = line < 0 || line >= in->height
                                ? zeros
                                : row_of(lane, in, line, c) + x - left;
        }
        k->winograd_in(lane->rows, transformed + c * row, point, (size_t)needed);
    }
    list_taps(lane->taps, in->channels, row, s);
    mm_conv conv = {
        .base = NULL,
        .taps = lane->taps,
        .weight = parameter(lane, s->weight),
        .bias = no_bias,
        .out = NULL,
        .out_stride = (ptrdiff_t)wide,
        .stride = 1,
        .tap_count = (size_t)(in->channels * s->kernel_w),
        .width = (size_t)width,
        .block = 0,
        .activation = MM_NO_ACTIVATION,
        .slope = 0.0f,
    };
    for (int64_t o = 0; o < out->channels; o += conv.block) {
        conv.block = block_of(out->channels - o);
        for (int64_t i = 0; i < MM_WINOGRAD_POINTS; i++) {
            conv.base = transformed + i * point + extra;
            conv.out = products + i * MM_BLOCK * wide;
            k->conv_stride1(&conv);
            conv.weight += (int64_t)conv.tap_count * conv.block;
        }
        for (int64_t b = 0; b < conv.block; b++) {
            for (int64_t i = 0; i < height; i++) {
                int64_t line = y + i * s->dilation_h;
                rows[i] = line < out->height ? row_of(lane, out, line, o + b) + x : spare;
            }
            k->winograd_out(products + b * wide, MM_BLOCK * wide, parameter(lane, s->bias)[o + b],
                            rows, (size_t)height, (size_t)width,
                            is_fused(s) ? s->activation : MM_NO_ACTIVATION, s->slope);
        }
    }
}

static void run_winograd(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const int64_t columns = mm_winograd_columns(in, out), tile = mm_granule(s);
    end = end < out->height ? end : out->height;
    for (int64_t top = y; top < end; top += tile)
        for (int32_t phase = 0; phase < s->dilation_h; phase++)
            for (int64_t x = 0; x < out->width; x += columns) {
                int64_t left = out->width - x;
                winograd_tile(lane, s, top + phase, x, left < columns ? left : columns);
            }
    finish_lines(lane, s, out, y, end, is_fused(s));
}

static void run_linear(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = row_of(lane, out, 0, 0);
    (void)y;
    lane->kernels->linear(row_of(lane, in, 0, 0), parameter(lane, s->weight),
                          parameter(lane, s->bias), row, (size_t)in->width, (size_t)out->width);
    finish_row(lane, s, out, row, 0, 0);
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

/* The usual pool, with all of its epilogue where the kernel can. */
static void run_plain_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const int fused = is_fused(s);
    mm_window w = {
        .rows = lane->rows,
        .out = NULL,
        .width = (size_t)out->width,
        .kernel = s->kernel_w,
        .smallest = 0,
        .inner = s->inner,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .affine = fused && s->scale >= 0,
        .slope = s->slope,
        .scale = 1.0f,
        .shift = 0.0f,
    };
    const float *sign = s->sign >= 0 ? parameter(lane, s->sign) : NULL;
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            for (int64_t r = 0; r < s->kernel_h; r++)
                lane->rows[r] = row_of(lane, in, y * s->stride_h + r, c);
            w.out = row_of(lane, out, y, c);
            w.smallest = sign && sign[c] < 0.0f;
            if (w.affine) {
                w.scale = parameter(lane, s->scale)[c];
                w.shift = parameter(lane, s->shift)[c];
            }
            lane->kernels->max_pool(&w);
            if (fused)
                zero_padding(out, w.out, c);
            else
                finish_row(lane, s, out, w.out, c, 0);
        }
}

static void run_max_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    if (mm_is_plain_pool(s, in, out)) {
        run_plain_pool(lane, s, y, end);
        return;
    }
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            int64_t count = window_rows(lane, s, y, c);
            float *row = row_of(lane, out, y, c);
            if (s->sign >= 0 && parameter(lane, s->sign)[c] < 0.0f)
                pool_rows(lane, s, count, INFINITY, k->fold_min, k->slide_min, row);
            else
                pool_rows(lane, s, count, -INFINITY, k->fold_max, k->slide_max, row);
            finish_row(lane, s, out, row, c, 0);
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
        finish_row(lane, s, out, row, c, 0);
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
        finish_row(lane, s, out, row, c, 0);
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
        finish_row(lane, s, out, row, c, 0);
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
    finish_row(lane, s, out, row, 0, 0);
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
        finish_row(lane, s, out, row, (int64_t)c, 0);
    }
}

/* --- the table -------------------------------------------------------------------------- */

typedef void line_fn(const mm_lane *lane, const mm_step *s, int64_t y);
typedef void lines_fn(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);

/* Steps that do better with several lines at once have a function for that. */
static const struct {
    line_fn *line;
    lines_fn *lines;
} FUNCTIONS[MM_OP_COUNT] = {
    [MM_OP_INPUT_F32] = {run_input_f32, NULL},
    [MM_OP_INPUT_U8] = {run_input_u8, NULL},
    [MM_OP_OUTPUT] = {run_output, NULL},
    [MM_OP_COPY] = {run_copy, NULL},
    [MM_OP_ZERO] = {run_zero, NULL},
    [MM_OP_CONV] = {NULL, run_conv},
    [MM_OP_WINOGRAD] = {NULL, run_winograd},
    [MM_OP_LINEAR] = {run_linear, NULL},
    [MM_OP_MAX_POOL] = {NULL, run_max_pool},
    [MM_OP_AVG_POOL] = {run_avg_pool, NULL},
    [MM_OP_GLOBAL_AVG_POOL] = {run_global_avg_pool, NULL},
    [MM_OP_ADD] = {run_binary, NULL},
    [MM_OP_MUL] = {run_binary, NULL},
    [MM_OP_FLATTEN] = {run_flatten, NULL},
    [MM_OP_SOFTMAX] = {run_softmax, NULL},
    [MM_OP_NEAREST] = {run_nearest, NULL},
    [MM_OP_BILINEAR] = {run_bilinear, NULL},
};

void mm_step_lines(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    if (FUNCTIONS[s->op].lines)
        FUNCTIONS[s->op].lines(lane, s, y, end);
    else
        for (; y < end; y++)
            FUNCTIONS[s->op].line(lane, s, y);
}

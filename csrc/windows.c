/* windows.c - steps that look at their input through a window: convolutions, directly and by
   Winograd, and pools.  The arithmetic is in conv.inc, winograd.inc, max_pool.inc and rows.inc. */
#include <math.h>

#include "lines.h"

/* Valid taps [first, end) of a window that starts at input line `start`. */
static void clip_window(int64_t start, int64_t kernel, int64_t dilation, int64_t size,
                        int64_t *first, int64_t *end)
{
    int64_t low = start < 0 ? (-start + dilation - 1) / dilation : 0;
    int64_t high = start < size ? (size - start + dilation - 1) / dilation : 0;
    *end = high < kernel ? high : kernel;
    *first = low < *end ? low : *end;
}

/* Offsets within a line, from its left padding on, of the taps of one kernel line. */
static void list_taps(ptrdiff_t *taps, int64_t channels, int64_t channel_stride, const mm_step *s)
{
    for (int64_t c = 0; c < channels; c++)
        for (int32_t k = 0; k < s->kernel_w; k++)
            *taps++ = (ptrdiff_t)(c * channel_stride + (int64_t)k * s->dilation_w);
}

/* The same, from the first element on, where even and odd columns are channels of their own. */
static void list_split_taps(ptrdiff_t *taps, int64_t channels, int64_t channel_stride,
                            const mm_step *s)
{
    for (int64_t c = 0; c < channels; c++)
        for (int32_t k = 0; k < s->kernel_w; k++) {
            int64_t phase = (k * s->dilation_w - s->pad_left) & 1;
            *taps++ = (ptrdiff_t)((2 * c + phase) * channel_stride + mm_split_column(s, k));
        }
}

static int block_of(int64_t filters) { return filters >= MM_BLOCK ? MM_BLOCK : filters >= 2 ? 2 : 1; }

void mm_run_conv(const mm_lane *lane, const mm_step *s, int64_t y, int64_t lines_end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const int64_t stride = s->split ? 1 : s->stride_w, left = s->split ? 0 : s->pad_left;
    mm_conv_fn *kernel = stride == 1   ? lane->kernels->conv_stride1
                         : stride == 2 ? lane->kernels->conv_stride2
                                       : lane->kernels->conv_any_stride;
    const int64_t channels = in->channels / s->groups / (s->split ? 2 : 1), filters = out->channels / s->groups;
    const int64_t line_taps = channels * s->kernel_w;
    const float *memory = mm_memory(lane, in);
    const int fused = mm_is_fused(s);
    ptrdiff_t *of_line = lane->taps, *taps = of_line + line_taps;
    (s->split ? list_split_taps : list_taps)(of_line, channels, in->row_stride, s);
    mm_conv c = {
        .base = memory,
        .taps = taps,
        .tap_count = 0,
        .weight = NULL,
        .bias = NULL,
        .out = NULL,
        .out_stride = (ptrdiff_t)out->row_stride,
        .stride = (ptrdiff_t)stride,
        .width = (size_t)out->width,
        .block = 0,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (; y < lines_end; y++) {
        const float *weight = mm_parameter(lane, s->weight), *bias = mm_parameter(lane, s->bias);
        int64_t start = y * s->stride_h - s->pad_top, first, end;
        ptrdiff_t *tap = taps;
        clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
        for (int64_t r = first; r < end; r++, tap += line_taps) {
            ptrdiff_t row = mm_row(lane, in, start + r * s->dilation_h, 0) - left - memory;
            for (int64_t t = 0; t < line_taps; t++)
                tap[t] = row + of_line[t];
        }
        c.tap_count = (size_t)(tap - taps);
        c.out = mm_row(lane, out, y, 0);
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
        mm_finish_lines(lane, s, out, y, y + 1, fused);
    }
}

/* Up to four lines of the convolution at once; those outside the picture are zeros. */
void mm_run_depthwise(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const float *zeros = lane->program->constants + s->first_constant, *rows[6];
    const int64_t first = y;
    int64_t next[6]; /* from channel to channel */
    float *to[4];
    mm_depthwise d = {
        .rows = rows,
        .out = to,
        .width = (size_t)out->width,
        .lines = 0,
        .pool = s->stride_h == 2,
        .activation = mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION,
        .slope = s->slope,
    };
    for (int64_t made; y < end; y += made) {
        int64_t left = (end - y) * s->stride_h, top = y * s->stride_h - s->pad_top;
        d.lines = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        made = d.lines / s->stride_h;
        for (int64_t i = 0; i < d.lines + 2; i++) {
            int outside = top + i < 0 || top + i >= in->height;
            rows[i] = outside ? zeros : mm_row(lane, in, top + i, 0) - s->pad_left;
            next[i] = outside ? 0 : in->row_stride;
        }
        for (int64_t i = 0; i < made; i++)
            to[i] = mm_row(lane, out, y + i, 0);
        d.weight = mm_parameter(lane, s->weight);
        d.bias = mm_parameter(lane, s->bias);
        for (int64_t c = 0; c < in->channels; c++) {
            lane->kernels->depthwise(&d);
            for (int64_t i = 0; i < d.lines + 2; i++)
                rows[i] += next[i];
            for (int64_t i = 0; i < made; i++)
                to[i] += out->row_stride;
            d.weight += 9;
            d.bias++;
        }
    }
    mm_finish_lines(lane, s, out, first, end, mm_is_fused(s));
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
                                : mm_row(lane, in, line, c) + x - left;
        }
        k->winograd_in(lane->rows, transformed + c * row, point, (size_t)needed);
    }
    list_taps(lane->taps, in->channels, row, s);
    mm_conv conv = {
        .base = NULL,
        .taps = lane->taps,
        .weight = mm_parameter(lane, s->weight),
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
                rows[i] = line < out->height ? mm_row(lane, out, line, o + b) + x : spare;
            }
            k->winograd_out(products + b * wide, MM_BLOCK * wide, mm_parameter(lane, s->bias)[o + b],
                            rows, (size_t)height, (size_t)width,
                            mm_is_fused(s) ? s->activation : MM_NO_ACTIVATION, s->slope);
        }
    }
}

void mm_run_winograd(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
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
    mm_finish_lines(lane, s, out, y, end, mm_is_fused(s));
}

/* Input rows of the window of output line y, into lane->rows; returns how many. */
static int64_t window_rows(const mm_lane *lane, const mm_step *s, int64_t y, int64_t channel)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    int64_t start = y * s->stride_h - s->pad_top, first, end;
    clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
    for (int64_t r = first; r < end; r++)
        lane->rows[r - first] = mm_row(lane, in, start + r * s->dilation_h, channel);
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
    const int fused = mm_is_fused(s);
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
    const float *sign = s->sign >= 0 ? mm_parameter(lane, s->sign) : NULL;
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            for (int64_t r = 0; r < s->kernel_h; r++)
                lane->rows[r] = mm_row(lane, in, y * s->stride_h + r, c);
            w.out = mm_row(lane, out, y, c);
            w.smallest = sign && sign[c] < 0.0f;
            if (w.affine) {
                w.scale = mm_parameter(lane, s->scale)[c];
                w.shift = mm_parameter(lane, s->shift)[c];
            }
            lane->kernels->max_pool(&w);
            if (fused)
                mm_zero_padding(out, w.out, c);
            else
                mm_finish_row(lane, s, out, w.out, c, 0);
        }
}

void mm_run_max_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
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
            float *row = mm_row(lane, out, y, c);
            if (s->sign >= 0 && mm_parameter(lane, s->sign)[c] < 0.0f)
                pool_rows(lane, s, count, INFINITY, k->fold_min, k->slide_min, row);
            else
                pool_rows(lane, s, count, -INFINITY, k->fold_max, k->slide_max, row);
            mm_finish_row(lane, s, out, row, c, 0);
        }
}

void mm_run_avg_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    const float *constants = lane->program->constants;
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            float *row = mm_row(lane, out, y, c);
            int64_t count = window_rows(lane, s, y, c);
            pool_rows(lane, s, count, 0.0f, k->fold_sum, k->slide_sum, row);
            k->mul(row, constants + s->second_constant, row, (size_t)out->width);
            k->affine(row, row, (size_t)out->width, constants[s->first_constant + y], 0.0f);
            mm_finish_row(lane, s, out, row, c, 0);
        }
}

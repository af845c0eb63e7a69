/* resize.c - cuts a box out of an RGB picture and scales it: which pixels make an output and with
   what weights, and what is done to which line.  The arithmetic on lines is in resize.inc.

   The result is that of Pillow's Image.resize(size, resample, box), for bilinear before it is
   rounded: the weights are a triangle two output pixels wide, or two input pixels wide where the
   picture grows, which reaches over the edges of the box but not over those of the picture.  Pillow
   rounds to bytes twice, so the two differ by less than 1/255.  Bicubic 2x is two of these calls in
   one: of a picture that grows, twice as large by Pillow's bicubic (a = -0.5) first. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "layout.h"

/* In pixels: whole numbers in float32, and no product here overflows. */
#define MM_MAX_SIDE (1 << 24)
#define MM_MAX_STRIDE (INT64_MAX >> 28)
/* Inputs of an output where the axis is twice as large first: up to 4 samples make it. */
#define MM_TWICE_TAPS 6

/* One direction.  Output i is the sum over k < count of weight[i * count + k] * input[first[i] +
   k]; tables have room for `out` rounded up to MM_LANES. */
typedef struct {
    int64_t in, out, count;
    int twice;          /* of a picture that is twice as large first */
    double from, scale; /* output i lies at from + (i + 0.5) * scale */
    int32_t *first;
    float *weight;
} axis_t;

/* The crop, and where everything lies in the workspace. */
typedef struct {
    const mm_crop *crop;
    const mm_kernels *kernels;
    axis_t y, x;
    int64_t plane, line; /* floats from channel to channel and from line to line of the output */
    int64_t left;        /* first pixel of a line that is needed */
    int64_t samples;     /* of a line, from there on, rounded up to MM_LANES */
    int64_t line_floats;
    uint8_t *tail;             /* last samples of the lines that a line is resampled from */
    float *lines, *transposed; /* MM_LANES resampled lines; the same transposed */
    float *rows;               /* output rows that may not be written beyond their end */
} work_t;

/* As in Pillow, the box is float32 and so is its size. */
static int set_axis(axis_t *a, int64_t in, int64_t out, float from, float to, int32_t filter)
{
    if (in < 1 || in > MM_MAX_SIDE || out < 1 || out > MM_MAX_SIDE)
        return 0;
    if (!(from >= 0.0f && from < to && to <= (float)in)) /* nor NaN */
        return 0;
    *a = (axis_t){.in = in,
                  .out = out,
                  .count = 1,
                  .from = (double)from,
                  .scale = (double)(to - from) / (double)out};
    if (filter == MM_FILTER_NEAREST)
        return 1;
    a->count = a->scale > 1.0 ? (int64_t)ceil(2.0 * a->scale) : 2;
    if (filter == MM_FILTER_BICUBIC_2X && a->scale < 1.0) {
        a->twice = 1;
        a->count = MM_TWICE_TAPS;
    }
    a->count = a->count < in ? a->count : in;
    return 1;
}

/* First input that output i needs. */
static int64_t first_of(const axis_t *a, int64_t i, double *center)
{
    double support = a->scale > 1.0 ? a->scale : 1.0;
    *center = a->from + ((double)i + 0.5) * a->scale;
    int64_t first = (int64_t)(*center - support + 0.5);
    first = first > 0 ? first : 0;
    return first < a->in - a->count ? first : a->in - a->count;
}

static void fill_bilinear(const axis_t *a)
{
    double slope = a->scale > 1.0 ? 1.0 / a->scale : 1.0, center;
    float *w = a->weight;
    for (int64_t i = 0; i < a->out; i++, w += a->count) {
        int64_t first = first_of(a, i, &center);
        double sum = 0.0;
        for (int64_t k = 0; k < a->count; k++) {
            double weight = 1.0 - fabs((double)(first + k) + 0.5 - center) * slope;
            weight = weight > 0.0 ? weight : 0.0;
            w[k] = (float)weight;
            sum += weight;
        }
        double factor = 1.0 / sum;
        for (int64_t k = 0; k < a->count; k++)
            w[k] = (float)((double)w[k] * factor);
        a->first[i] = (int32_t)first;
    }
}

/* Adds, `weight` times, what inputs count for in sample j of an axis twice as large; sums[0] is
   that of input `first`.  Over an edge there is nothing. */
static void add_sample(const axis_t *a, int64_t j, double weight, int64_t first, double *sums)
{
    static const double cubic[4] = {-3.0 / 128, 29.0 / 128, 111.0 / 128, -9.0 / 128};
    int64_t from = j / 2 - 2 + j % 2, low = from < 0 ? -from : 0;
    int64_t high = from + 4 > a->in ? a->in - from : 4;
    double total = 0.0;
    for (int64_t k = low; k < high; k++)
        total += cubic[j % 2 ? 3 - k : k];
    for (int64_t k = low; k < high; k++)
        sums[from + k - first] += weight * cubic[j % 2 ? 3 - k : k] / total;
}

/* Output i is that of fill_bilinear in an axis twice as large. */
static void fill_twice(const axis_t *a)
{
    axis_t large = {.in = 2 * a->in, .from = 2.0 * a->from, .scale = 2.0 * a->scale};
    large.count = large.scale > 1.0 ? (int64_t)ceil(2.0 * large.scale) : 2; /* up to 4 */
    large.count = large.count < large.in ? large.count : large.in;
    double slope = large.scale > 1.0 ? 1.0 / large.scale : 1.0, center;
    float *w = a->weight;
    for (int64_t i = 0; i < a->out; i++, w += a->count) {
        double sums[MM_TWICE_TAPS] = {0.0}, total = 0.0;
        int64_t sample = first_of(&large, i, &center), first = sample / 2 - 2 + sample % 2;
        first = first > 0 ? first : 0;
        first = first < a->in - a->count ? first : a->in - a->count;
        for (int64_t j = sample; j < sample + large.count; j++) {
            double weight = 1.0 - fabs((double)j + 0.5 - center) * slope;
            if (weight > 0.0) {
                add_sample(a, j, weight, first, sums);
                total += weight;
            }
        }
        for (int64_t k = 0; k < a->count; k++)
            w[k] = (float)(sums[k] / total);
        a->first[i] = (int32_t)first;
    }
}

/* Pillow sums the steps up: a product would be rounded otherwise, and a pixel chosen otherwise. */
static void fill_nearest(const axis_t *a)
{
    double x = a->from + a->scale * 0.5;
    for (int64_t i = 0; i < a->out; i++, x += a->scale) {
        a->first[i] = x < (double)a->in ? (int32_t)x : (int32_t)a->in - 1;
        a->weight[i] = 1.0f;
    }
}

static void fill(const axis_t *a, int32_t filter)
{
    if (filter == MM_FILTER_NEAREST)
        fill_nearest(a);
    else if (a->twice)
        fill_twice(a);
    else
        fill_bilinear(a);
    for (int64_t i = a->out; i < mm_round_lanes(a->out); i++) { /* the last output once more */
        a->first[i] = a->first[i - 1];
        memcpy(a->weight + i * a->count, a->weight + (i - 1) * a->count,
               (size_t)a->count * sizeof *a->weight);
    }
}

/* Checks the crop and divides the workspace among the fields of w; returns its bytes, 0 if there is
   something wrong. */
static size_t lay_out(work_t *w, const mm_crop *c, void *workspace)
{
    *w = (work_t){.crop = c};
    if (c->filter < MM_FILTER_NEAREST || c->filter > MM_FILTER_BICUBIC_2X)
        return 0;
    if (!set_axis(&w->y, c->height, c->out_height, c->top, c->bottom, c->filter) ||
        !set_axis(&w->x, c->width, c->out_width, c->left, c->right, c->filter))
        return 0;
    int64_t width = mm_round_lanes(w->x.out), height = mm_round_lanes(w->y.out);
    int64_t pixels = (int64_t)ceil((double)(c->right - c->left)) + 2 * w->x.count + 2;
    w->samples = mm_round_lanes(3 * (pixels < w->x.in ? pixels : w->x.in)); /* at most */
    w->line_floats = w->samples + MM_LANES; /* no power of two: lines would lie in one cache set */
    const int64_t floats[] = {
        height,
        width,
        height * w->y.count,
        width * w->x.count,
        w->line_floats * MM_LANES,
        w->samples * MM_LANES,
        3 * MM_LANES * width,
        w->y.count * (MM_LANES / 4),
    };
    int64_t total = 0;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        total += floats[i];
    if ((uint64_t)total > SIZE_MAX / 16)
        return 0;
    if (workspace) {
        float *at = workspace;
        w->y.first = (int32_t *)workspace;
        w->x.first = w->y.first + floats[0];
        w->y.weight = (at += floats[0] + floats[1]);
        w->x.weight = (at += floats[2]);
        w->lines = (at += floats[3]);
        w->transposed = (at += floats[4]);
        w->rows = (at += floats[5]);
        w->tail = (uint8_t *)(at + floats[6]);
    }
    return (size_t)total * sizeof(float);
}

/* Resample line y of the output from the lines of the picture. */
static void resample_line(const work_t *w, int64_t y, float *line)
{
    const mm_crop *crop = w->crop;
    const ptrdiff_t stride = (ptrdiff_t)crop->line_bytes;
    const float *weight = w->y.weight + y * w->y.count;
    int64_t first = w->y.first[y], count = w->y.count;
    for (; count > 1 && weight[count - 1] == 0.0f; count--)
        ;
    for (; count > 1 && weight[0] == 0.0f; count--, weight++, first++)
        ;
    int64_t room = 3 * (crop->width - w->left); /* beyond lies what is not the picture's */
    int64_t whole = w->samples <= room ? w->samples : room / MM_LANES * MM_LANES;
    const uint8_t *p = crop->pixels + (ptrdiff_t)first * stride + (ptrdiff_t)(3 * w->left);
    w->kernels->resample_y(p, stride, weight, (size_t)count, line, (size_t)whole);
    if (whole == w->samples)
        return;
    for (int64_t k = 0; k < count; k++)
        memcpy(w->tail + k * MM_LANES, p + (ptrdiff_t)k * stride + whole, (size_t)(room - whole));
    w->kernels->resample_y(w->tail, MM_LANES, weight, (size_t)count, line + whole, MM_LANES);
}

/* MM_LANES lines of the output, from line y on. */
static void crop_lines(const work_t *w, int64_t y, float *out)
{
    for (int64_t l = 0; l < MM_LANES; l++)
        resample_line(w, y + l, w->lines + l * w->line_floats);
    w->kernels->transpose(w->lines, (ptrdiff_t)w->line_floats, w->transposed, (size_t)w->samples);

    int64_t width = w->x.out;
    int64_t lines = w->y.out - y < MM_LANES ? w->y.out - y : MM_LANES;
    int direct = lines == MM_LANES && width % MM_LANES == 0;
    int64_t stride = direct ? w->line : mm_round_lanes(width);
    mm_resample_x s = {.x = w->transposed,
                       .weight = w->x.weight,
                       .first = w->x.first,
                       .out = direct ? out + y * w->line : w->rows,
                       .out_stride = (ptrdiff_t)stride,
                       .out_plane = (ptrdiff_t)(direct ? w->plane : MM_LANES * stride),
                       .count = (size_t)w->x.count,
                       .width = (size_t)width,
                       .rounding = w->crop->rounded ? MM_TO_WHOLE : 0.0f};
    w->kernels->resample_x(&s);
    for (int64_t c = 0; c < 3 && !direct; c++)
        for (int64_t l = 0; l < lines; l++)
            memcpy(out + c * w->plane + (y + l) * w->line, w->rows + (c * MM_LANES + l) * stride,
                   (size_t)width * sizeof *out);
}

size_t mm_resize_bytes(const mm_crop *crop)
{
    work_t w;
    return lay_out(&w, crop, NULL);
}

int mm_resize(int isa, const mm_crop *crop, float *out, int64_t plane, int64_t line,
              void *workspace)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    work_t w;
    if (!kernels)
        return MM_E_ISA;
    if (!lay_out(&w, crop, workspace))
        return MM_E_PROGRAM;
    if (line < w.x.out || line > MM_MAX_STRIDE || plane > MM_MAX_STRIDE ||
        plane < (w.y.out - 1) * line + w.x.out)
        return MM_E_PROGRAM;
    if (2 * plane + (w.y.out - 1) * line + w.x.out > PTRDIFF_MAX / (int64_t)sizeof *out)
        return MM_E_PROGRAM; /* only where pointers have 32 bits */
    w.plane = plane;
    w.line = line;
    w.kernels = kernels;
    fill(&w.y, crop->filter);
    fill(&w.x, crop->filter);
    w.left = w.x.first[0];
    w.samples = mm_round_lanes(3 * (w.x.first[w.x.out - 1] + w.x.count - w.left));
    for (int64_t i = 0; i < mm_round_lanes(w.x.out); i++)
        w.x.first[i] -= (int32_t)w.left;
    for (int64_t y = 0; y < w.y.out; y += MM_LANES)
        crop_lines(&w, y, out);
    return MM_OK;
}

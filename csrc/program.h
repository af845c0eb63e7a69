/* program.h - what check.c, program.c and the steps (lines.h) agree on. */
#ifndef MINIMESO_PROGRAM_H
#define MINIMESO_PROGRAM_H

#include "kernels.h"

/* Vector loads may run this far past the last element that a kernel needs. */
#define MM_SLACK (2 * MM_LANES)
#define MM_WINOGRAD_POINTS 8

static inline int64_t mm_round_lanes(int64_t n) { return (n + MM_LANES - 1) / MM_LANES * MM_LANES; }

/* Lines that a step computes at once; tiles start at multiples of it. */
static inline int64_t mm_granule(const mm_step *s)
{
    int64_t tile = MM_WINOGRAD_POINTS + 1 - (int64_t)s->kernel_h;
    return s->op == MM_OP_WINOGRAD ? tile * s->dilation_h : 1;
}

/* Scratch that a pool needs for its folded row, as far as vector loads go. */
static inline int64_t mm_pool_scratch(const mm_program *p, const mm_step *s)
{
    int64_t in = mm_round_lanes(p->tensors[s->input].width);
    int64_t out = mm_round_lanes(p->tensors[s->output].width);
    int64_t needed = out * s->stride_w + (int64_t)(s->kernel_w - 1) * s->dilation_w + MM_SLACK;
    return mm_round_lanes(needed > in + s->pad_left ? needed : in + s->pad_left);
}

/* Columns of a Winograd tile: equal shares of the row for which the scratch is about 96 KiB. */
static inline int64_t mm_winograd_columns(const mm_tensor *in, const mm_tensor *out)
{
    int64_t whole = mm_round_lanes(out->width), most = 3072 / (in->channels + MM_BLOCK) - MM_LANES;
    most = most < 2 * MM_LANES ? 2 * MM_LANES : most;
    int64_t parts = (whole + most - 1) / most;
    return mm_round_lanes((whole + parts - 1) / parts);
}

/* Where it begins to read, left of its output: the padding, and as much more as aligns vectors. */
static inline int64_t mm_winograd_left(const mm_step *s) { return (s->pad_left + 7) / 8 * 8; }

/* Room for a row of its transformed input. */
static inline int64_t mm_winograd_row(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    return mm_round_lanes(mm_winograd_columns(in, out) + mm_winograd_left(s) - s->pad_left +
                          (int64_t)(s->kernel_w - 1) * s->dilation_w);
}

/* A convolution with `split` is one of stride 1 for the kernels, each tap in the row of its phase: the
   column of tap k there, for output 0. */
static inline int64_t mm_split_column(const mm_step *s, int64_t k)
{
    int64_t x = k * s->dilation_w - s->pad_left;
    return (x - (x & 1)) / 2;
}

/* How far a depthwise convolution reads a row, from its left padding on. */
static inline int64_t mm_depthwise_row(const mm_step *s, const mm_tensor *out)
{
    return mm_round_lanes(out->width) * s->stride_w + 2;
}

/* Zeros between rows. */
static inline int64_t mm_gap(const mm_tensor *t) { return t->row_stride - mm_round_lanes(t->width); }

/* Whether `second` of a sum or product is one value per channel. */
static inline int mm_is_factor(const mm_tensor *second, const mm_tensor *output)
{
    return !second->is_vector && second->height == 1 && second->width == 1 &&
           (output->height != 1 || output->width != 1);
}

/* Whether it is doubled on the way; one pixel is a factor instead. */
static inline int mm_is_doubled(const mm_step *s, const mm_tensor *second, const mm_tensor *output)
{
    return s->op == MM_OP_ADD && !second->is_vector && !mm_is_factor(second, output) &&
           2 * second->height == output->height && 2 * second->width == output->width;
}

/* The usual pool, for which there is a kernel of its own (max_pool.inc). */
static inline int mm_is_plain_pool(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    return s->op == MM_OP_MAX_POOL && (s->kernel_w == 2 || s->kernel_w == 4) &&
           s->kernel_h == s->kernel_w && s->stride_w == s->kernel_w && s->dilation_h == 1 &&
           s->dilation_w == 1 && s->pad_top == 0 && s->pad_left == 0 &&
           (int64_t)out->width * s->kernel_w <= in->width &&
           (int64_t)(out->height - 1) * s->stride_h + s->kernel_h <= in->height;
}

/* One thread on one image. */
typedef struct {
    const mm_program *program;
    const mm_kernels *kernels;
    const void *const *inputs; /* the caller's arrays */
    float *const *outputs;
    float *arena, *rings, *scratch;
    union { /* room for max_list of them */
        const float **rows;
        ptrdiff_t *taps;
    };
    int64_t image;
    int64_t *nanoseconds; /* of each step, added up; NULL: nobody wants to know */
} mm_lane;

typedef struct {
    int64_t start, end;
} mm_range;

int64_t mm_bands(const mm_program *p, const mm_stage *stage);

/* The lines of its output that each step of a stage must have for a band; some it may have from the
   band before. */
void mm_lines_of_band(const mm_program *p, const mm_stage *stage, int64_t number, mm_range *own);

/* Zeros into the gaps that are read between the rows of rings of a stage, before its first line. */
void mm_clear_rings(const mm_lane *lane, const mm_stage *stage);

/* Lines [y, end) of the output of a step; y is a multiple of its granule, and with a last tile that
   begins before `end` come the lines of it that are behind. */
void mm_step_lines(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);

#endif

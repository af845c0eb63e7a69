/* program.h - what check.c, steps.c and program.c agree on. */
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
    return s->op == MM_OP_WINOGRAD ? (int64_t)MM_WINOGRAD_POINTS + 1 - s->kernel_h : 1;
}

/* Scratch that a pool needs for its folded row, as far as vector loads go. */
static inline int64_t mm_pool_scratch(const mm_program *p, const mm_step *s)
{
    int64_t in = mm_round_lanes(p->tensors[s->input].width);
    int64_t out = mm_round_lanes(p->tensors[s->output].width);
    int64_t needed = out * s->stride_w + (int64_t)(s->kernel_w - 1) * s->dilation_w + MM_SLACK;
    return mm_round_lanes(needed > in + s->pad_left ? needed : in + s->pad_left);
}

/* Zeros between rows. */
static inline int64_t mm_gap(const mm_tensor *t) { return t->row_stride - mm_round_lanes(t->width); }

/* Whether `second` of a sum or product is one value per channel. */
static inline int mm_is_factor(const mm_tensor *second, const mm_tensor *output)
{
    return !second->is_vector && second->height == 1 && second->width == 1 &&
           (output->height != 1 || output->width != 1);
}

/* One thread on one image. */
typedef struct {
    const mm_program *program;
    const mm_kernels *kernels;
    const void *const *inputs; /* the caller's arrays */
    float *const *outputs;
    float *arena, *rings, *scratch;
    const float **rows; /* room for max_rows pointers */
    int64_t image;
    int64_t *nanoseconds; /* of each step, added up; NULL: nobody wants to know */
} mm_lane;

/* Line y of the output of a step; for a Winograd step the tile of lines that begins at y. */
void mm_step_line(const mm_lane *lane, const mm_step *s, int64_t y);

#endif

/* program.h - what check.c and program.c agree on. */
#ifndef MINIMESO_PROGRAM_H
#define MINIMESO_PROGRAM_H

#include "minimeso.h"

/* Vector loads may run this far past the last element that a kernel needs. */
#define MM_SLACK (2 * MM_LANES)
#define MM_WINOGRAD_POINTS 8

static inline int64_t mm_round_lanes(int64_t n) { return (n + MM_LANES - 1) / MM_LANES * MM_LANES; }

/* Lines that a step computes at once; tiles start at multiples of it. */
static inline int64_t mm_granule(const mm_step *s)
{
    return s->op == MM_OP_WINOGRAD ? MM_WINOGRAD_POINTS + 1 - s->kernel_h : 1;
}

/* Zeros between rows. */
static inline int64_t mm_gap(const mm_tensor *t) { return t->row_stride - mm_round_lanes(t->width); }

/* Whether `second` of a sum or product is one value per channel. */
static inline int mm_is_factor(const mm_tensor *second, const mm_tensor *output)
{
    return !second->is_vector && second->height == 1 && second->width == 1 &&
           (output->height != 1 || output->width != 1);
}

#endif

/* check.h - what the checks of operators are made of. */
#ifndef MINIMESO_CHECK_H
#define MINIMESO_CHECK_H

#include "ops.h"

#define MM_MAX_DIM (1 << 21)

static inline int mm_is_dim(int64_t value, int64_t low)
{
    return value >= low && value <= MM_MAX_DIM;
}

/* [offset, offset + count) lies in [0, size) */
static inline int mm_within(int64_t offset, int64_t count, int64_t size)
{
    return offset >= 0 && count >= 0 && count <= size && offset <= size - count;
}

static inline int mm_has_parameters(const mm_operands *o, int64_t offset, int64_t count)
{
    return mm_within(offset, count, o->program->parameter_count);
}

static inline int mm_has_constants(const mm_operands *o, int64_t offset, int64_t count)
{
    return mm_within(offset, count, o->program->constant_count);
}

static inline int mm_same_shape(const mm_tensor *a, const mm_tensor *b)
{
    return a->channels == b->channels && a->height == b->height && a->width == b->width &&
           a->is_vector == b->is_vector;
}

/* Neither is a vector. */
static inline int mm_are_maps(const mm_tensor *a, const mm_tensor *b)
{
    return !a->is_vector && !b->is_vector;
}

static inline int mm_window_fits(const mm_step *s)
{
    return mm_is_dim(s->kernel_h, 1) && mm_is_dim(s->kernel_w, 1) && mm_is_dim(s->stride_h, 1) &&
           mm_is_dim(s->stride_w, 1) && mm_is_dim(s->dilation_h, 1) &&
           mm_is_dim(s->dilation_w, 1) && mm_is_dim(s->pad_top, 0) && mm_is_dim(s->pad_left, 0);
}

#endif

/* lines.h - a line of a tensor: where it lies, its padding, and how a step ends that wrote it. */
#ifndef MINIMESO_LINES_H
#define MINIMESO_LINES_H

#include <string.h>

#include "layout.h"
#include "steps.h"

static inline float *mm_memory(const mm_worker *worker, const mm_tensor *t)
{
    return t->ring < 0 ? worker->arena : worker->rings;
}

static inline float *mm_row(const mm_worker *worker, const mm_tensor *t, int64_t line,
                            int64_t channel)
{
    return mm_memory(worker, t) + t->offset + (line & t->line_mask) * t->line_stride +
           channel * t->row_stride;
}

static inline const float *mm_parameter(const mm_worker *worker, int64_t offset)
{
    return worker->program->parameters + offset;
}

/* `count` floats, a multiple of MM_LANES, of zeros; fixed sizes, so that no call is made. */
static inline void mm_clear(float *p, int64_t count)
{
    for (float *end = p + count; p < end; p += MM_LANES)
        memset(p, 0, MM_LANES * sizeof *p);
}

/* The row paddings behind a row, and before the first of a line. */
static inline void mm_clear_row_padding(const mm_tensor *t, float *row, int64_t channel)
{
    int64_t row_padding = mm_row_padding(t);
    mm_clear(row + mm_round_lanes(t->width), row_padding);
    if (channel == 0)
        mm_clear(row - row_padding, row_padding);
}

/* Horizontal padding.  The row paddings of rings are cleared once, by mm_clear_rings: no kernel
   writes into them but those of op_planes.c, and nobody looks there behind a plane.  What is behind
   the last vector is padding, and zeros already: so one size fits all. */
static inline void mm_zero_padding(const mm_tensor *t, float *row, int64_t channel)
{
    if (t->width % MM_LANES)
        mm_clear(row + t->width, MM_LANES);
    if (t->ring < 0)
        mm_clear_row_padding(t, row, channel);
}

/* Whether kernels apply the activation of a step themselves. */
static inline int mm_is_fused(const mm_step *s)
{
#define MM_OR_EQUAL(NAME, name) || s->activation == MM_##NAME
    return s->slopes < 0 && (s->activation == MM_NO_ACTIVATION MM_FUSED_ACTIVATIONS(MM_OR_EQUAL));
#undef MM_OR_EQUAL
}

/* The epilogue of a step on one row that it has just written, while it is in the cache, and the
   padding; `done`: the activation is applied already. */
void mm_finish_row(const mm_worker *worker, const mm_step *s, const mm_tensor *t, float *row,
                   int64_t channel, int done);

/* The same for lines [y, end) that kernels have written. */
void mm_finish_lines(const mm_worker *worker, const mm_step *s, const mm_tensor *t, int64_t y,
                     int64_t end, int done);

/* Zeros into the row paddings that are read in rings of a stage, before its first line. */
void mm_clear_rings(const mm_worker *worker, const mm_stage *stage);

#endif

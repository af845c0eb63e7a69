/* lines.h - a line of a tensor: where it lies, its padding, and how a step ends that has written it. */
#ifndef MINIMESO_LINES_H
#define MINIMESO_LINES_H

#include <string.h>

#include "program.h"

static inline float *mm_memory(const mm_lane *lane, const mm_tensor *t)
{
    return t->ring < 0 ? lane->arena : lane->rings;
}

static inline float *mm_row(const mm_lane *lane, const mm_tensor *t, int64_t line, int64_t channel)
{
    return mm_memory(lane, t) + t->offset + (line & t->line_mask) * t->line_stride +
           channel * t->row_stride;
}

static inline const float *mm_parameter(const mm_lane *lane, int64_t offset)
{
    return lane->program->parameters + offset;
}

/* `count` floats, a multiple of MM_LANES, of zeros; fixed sizes, so that no call is made. */
static inline void mm_clear(float *p, int64_t count)
{
    for (float *end = p + count; p < end; p += MM_LANES)
        memset(p, 0, MM_LANES * sizeof *p);
}

/* The gaps behind a row, and before the first of a line. */
static inline void mm_clear_gaps(const mm_tensor *t, float *row, int64_t channel)
{
    int64_t gap = mm_gap(t);
    mm_clear(row + mm_round_lanes(t->width), gap);
    if (channel == 0)
        mm_clear(row - gap, gap);
}

/* Horizontal padding.  The gaps of rings are cleared once, by mm_clear_rings: no kernel writes
   into them.  What is behind the last vector is gap, and zeros already: so one size fits all. */
static inline void mm_zero_padding(const mm_tensor *t, float *row, int64_t channel)
{
    if (t->width % MM_LANES)
        mm_clear(row + t->width, MM_LANES);
    if (t->ring < 0)
        mm_clear_gaps(t, row, channel);
}

/* Whether kernels apply the activation of a step themselves. */
static inline int mm_is_fused(const mm_step *s)
{
    return s->slopes < 0 && s->activation <= MM_LEAKY_RELU;
}

/* The epilogue of a step on one row that it has just written, while it is in the cache, and the
   padding; `done`: the activation is applied already. */
void mm_finish_row(const mm_lane *lane, const mm_step *s, const mm_tensor *t, float *row,
                   int64_t channel, int done);

/* The same for lines [y, end) that kernels have written. */
void mm_finish_lines(const mm_lane *lane, const mm_step *s, const mm_tensor *t, int64_t y,
                     int64_t end, int done);

/* What looks at its input through a window: lines [y, end), see mm_step_lines (windows.c). */
void mm_run_conv(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);
void mm_run_depthwise(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);
void mm_run_winograd(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);
void mm_run_max_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);
void mm_run_avg_pool(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);

#endif

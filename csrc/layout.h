/* layout.h - how a tensor lies in memory: rounded rows, zeros between them, rings of lines. */
#ifndef MINIMESO_LAYOUT_H
#define MINIMESO_LAYOUT_H

#include "minimeso.h"

/* kernels look at no more than the vector behind the one that they need */
_Static_assert(MM_SLACK == 2 * MM_LANES, "cffi wants numbers in minimeso.h");

/* Lines [start, end). */
typedef struct {
    int64_t start, end;
} mm_range;

static inline int64_t mm_round_lanes(int64_t n) { return (n + MM_LANES - 1) / MM_LANES * MM_LANES; }

/* a * b, or a huge number where it would overflow; a, b >= 0 */
static inline int64_t mm_times(int64_t a, int64_t b)
{
    return b && a > INT64_MAX / 4 / b ? INT64_MAX / 4 : a * b;
}

static inline int64_t mm_larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t mm_smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Zeros between rows. */
static inline int64_t mm_row_padding(const mm_tensor *t)
{
    return t->row_stride - mm_round_lanes(t->width);
}

/* The line that lies last in memory. */
static inline int64_t mm_last_line(const mm_tensor *t)
{
    return t->ring >= 0 && t->line_mask < t->height - 1 ? t->line_mask : t->height - 1;
}

/* The tensor whose lines a step makes: its output, or what it hands to the caller. */
static inline const mm_tensor *mm_made(const mm_program *p, const mm_step *s)
{
    return &p->tensors[s->output >= 0 ? s->output : s->input];
}

#endif

/* ops.h - the table of operators: what the guard, the planner, the bands and a run ask of each. */
#ifndef MINIMESO_OPS_H
#define MINIMESO_OPS_H

#include "layout.h"
#include "steps.h"

/* A step with its tensors; NULL where it has none. */
typedef struct {
    const mm_program *program;
    const mm_step *step;
    const mm_tensor *in, *second, *out;
} mm_operands;

/* Whether shapes, parameters, constants and tables fit each other; any numbers may stand in the
   step, while its tensors are right in themselves.  The guard has looked at the epilogue already,
   and compares what `measure` says with the program. */
typedef int mm_check_fn(const mm_operands *o);

/* Adds what the step needs to *needs, which is 0 everywhere; after mm_check_fn has said yes. */
typedef void mm_measure_fn(const mm_operands *o, mm_needs *needs);

/* Lines of `in` (of `second`, if that is set) that lines of the output need, if the picture had no
   edges: any numbers, also below zero.  Only banded operators are asked.  Larger ranges never need
   less; and for some d up to 16, lines that lie d further down need the same, further down (bands.c
   looks for the d, to know after how many bands it has seen all there are). */
typedef mm_range mm_lines_fn(const mm_operands *o, int second, mm_range out);

/* Whether the step may share a stage: a line of its output needs a range of lines of its inputs.
   MM_FIRST_OF_STAGE: it needs all, so they must have been made before. */
typedef int mm_banded_fn(const mm_operands *o);

/* Lines [y, end) of the output.  y is a multiple of mm_tile_lines, and with a last tile that
   begins before `end` come the lines of it that are behind. */
typedef void mm_run_fn(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end);

typedef struct {
    const char *name;
    int inputs, outputs;
    mm_lines_fn *lines;
    mm_banded_fn *banded;
    mm_check_fn *check;
    mm_measure_fn *measure;
    mm_run_fn *run;
} mm_operator;

extern const mm_operator MM_OPS[MM_OP_COUNT];

#define MM_DECLARE(NAME, inputs, outputs, lines, banded, check, measure, run)                      \
    mm_lines_fn mm_lines_##lines;                                                                  \
    mm_banded_fn mm_banded_##banded;                                                               \
    mm_check_fn mm_check_##check;                                                                  \
    mm_measure_fn mm_measure_##measure;                                                            \
    mm_run_fn mm_run_##run;
MM_OPERATORS(MM_DECLARE)
#undef MM_DECLARE

/* Of a step whose op and tensor numbers are right. */
mm_operands mm_operands_of(const mm_program *p, const mm_step *s);

/* Whether it looks at its input through a window: kernel, strides, dilations and padding count. */
static inline int mm_is_windowed(int op) { return MM_OPS[op].lines == mm_lines_window; }

/* Lines that a step computes at once; tiles start at multiples of it. */
static inline int64_t mm_tile_lines(const mm_step *s)
{
    int64_t tile = MM_WINOGRAD_POINTS + 1 - (int64_t)s->kernel_h;
    return s->op == MM_OP_WINOGRAD ? tile * s->dilation_h : 1;
}

/* Runs a step that is written line by line. */
#define MM_RUN_EACH_LINE(name, line)                                                               \
    void mm_run_##name(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)          \
    {                                                                                              \
        for (; y < end; y++)                                                                       \
            line(worker, s, y);                                                                    \
    }

#endif

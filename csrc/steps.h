/* steps.h - what a step works with: one thread on one image. */
#ifndef MINIMESO_STEPS_H
#define MINIMESO_STEPS_H

#include "kernels.h"

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
} mm_worker;

#endif

/* joined.h - convolutions that take some lines as one. */
#ifndef MINIMESO_JOINED_H
#define MINIMESO_JOINED_H

#include "layout.h"
#include "steps.h"

/* Whether a step of MM_OP_CONV does so: the same for all its lines, as zeros are then added where
   windows reach beyond the picture. */
int mm_joins(const mm_step *s, const mm_tensor *in, const mm_tensor *out);

/* What it wants of scratch; any numbers may stand in the step. */
int64_t mm_joined_floats(const mm_step *s, const mm_tensor *in, const mm_tensor *out);

/* Lines [y, end) of the output. */
void mm_run_joined(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end);

#endif

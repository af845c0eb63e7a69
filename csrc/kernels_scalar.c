/* kernels_scalar.c - the kernels in plain C, for every machine. */
#include <math.h>
#include <string.h>
#include "kernels.h"

#include "simd/scalar.h"
#define MM_SUFFIX scalar
#ifndef MM_TABLE
#define MM_TABLE mm_kernels_scalar
#endif
#include "kernels.inc"

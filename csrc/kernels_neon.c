/* kernels_neon.c - the kernels for 64-bit ARM, where NEON is always there: no region. */
#include <math.h>
#include <string.h>
#include "kernels.h"

/* The checks build this file over an emulation of the vector header. */
#if MM_ARM64 || defined(MM_EMULATED)
#ifndef MM_EMULATED
#include <arm_neon.h>
#endif
#include "simd/neon.h"
#define MM_SUFFIX neon
#define MM_TABLE mm_kernels_neon
#include "kernels.inc"

#else
typedef int mm_no_neon; /* a translation unit may not be empty */
#endif

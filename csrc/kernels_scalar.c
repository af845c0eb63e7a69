/* kernels_scalar.c - the kernels in plain C, for every machine. */
#include <math.h>
#include <string.h>

/* x86-64 compares with it and never chooses it; -O3 and inlining make it three times as large */
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) &&              \
    !defined(__clang__) && !defined(MM_TABLE)
#pragma GCC optimize("O2")
/* of what is not inlined gcc does not see that a constant leaves it unused */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define MM_SMALL
#endif
#include "kernels.h"

#include "simd/scalar.h"
#define MM_SUFFIX scalar
#ifndef MM_TABLE
#define MM_TABLE mm_kernels_scalar
#endif
#include "kernels.inc"

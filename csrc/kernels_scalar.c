/* kernels_scalar.c - the kernels in plain C, for every machine. */
#include <math.h>
#include <string.h>
#include "kernels.h"

/* x86-64 compares with it and never chooses it: -O3 would make it half as large again */
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) &&              \
    !defined(__clang__)
#pragma GCC optimize("O2")
#endif

#include "simd/scalar.h"
#define MM_SUFFIX scalar
#ifndef MM_TABLE
#define MM_TABLE mm_kernels_scalar
#endif
#include "kernels.inc"

/* kernels_avx2.c - the kernels for x86 with AVX2 and FMA. */
#include <math.h>
#include <string.h>
#include "kernels.h"

#if MM_X86

/* The checks build this file over an emulation of the vector header, without the region. */
#ifndef MM_EMULATED
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#endif

#include "simd/avx2.h"
#define MM_SUFFIX avx2
#define MM_TABLE mm_kernels_avx2
#include "kernels.inc"

#ifndef MM_EMULATED
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif

#else
typedef int mm_no_avx2; /* a translation unit may not be empty */
#endif

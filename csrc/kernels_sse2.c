/* kernels_sse2.c - the kernels for x86 with SSE2. */
#include <math.h>
#include <string.h>
#include "kernels.h"

#if MM_X86

/* The checks build this file over an emulation of the vector header, without the region. */
#ifndef MM_EMULATED
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sse2"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("sse2")
#endif
#endif

#include "simd/sse2.h"
#define MM_SUFFIX sse2
#define MM_TABLE mm_kernels_sse2
#include "kernels.inc"

#ifndef MM_EMULATED
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif

#else
typedef int mm_no_sse2; /* a translation unit may not be empty */
#endif

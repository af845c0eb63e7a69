/* kernels_simd128.c - the kernels for WebAssembly; there a module has SIMD or cannot be loaded, so
   no region. */
#include <math.h>
#include <string.h>
#include "kernels.h"

/* The checks build this file over an emulation of the vector header. */
#if MM_WASM || defined(MM_EMULATED)
#ifndef MM_EMULATED
#include <wasm_simd128.h>
#endif
#include "simd/simd128.h"
#define MM_SUFFIX simd128
#define MM_TABLE mm_kernels_simd128
#include "kernels.inc"

#else
typedef int mm_no_simd128; /* a translation unit may not be empty */
#endif

/* kernels.c - look-ups by number: instruction sets, kernels and activations.  Which instruction
   sets a machine can run is in cpu.c. */
#include "kernels.h"

const char *mm_isa_name(int isa)
{
    static const char *const names[MM_ISA_COUNT] = {"scalar", "sse2", "avx2",
                                                    "avx512", "neon", "simd128"};
    return isa >= 0 && isa < MM_ISA_COUNT ? names[isa] : NULL;
}

const mm_kernels *mm_kernels_of(int isa)
{
    switch (isa) {
    case MM_SCALAR:
        return &mm_kernels_scalar;
#if MM_X86
    case MM_SSE2:
        return &mm_kernels_sse2;
    case MM_AVX2:
        return &mm_kernels_avx2;
    case MM_AVX512:
        return &mm_kernels_avx512;
#elif MM_ARM64
    case MM_NEON:
        return &mm_kernels_neon;
#elif MM_WASM
    case MM_SIMD128:
        return &mm_kernels_simd128;
#endif
    default:
        return NULL;
    }
}

const char *mm_kernel_name(int index)
{
#define MM_NAME(class, name) #name,
    static const char *const names[] = {MM_KERNELS(MM_NAME)};
#undef MM_NAME
    int count = (int)(sizeof names / sizeof *names);
    return index >= 0 && index < count ? names[index] : NULL;
}

const char *mm_activation_name(int index)
{
#define MM_NAME(NAME, name) [MM_##NAME] = #name,
    static const char *const names[] = {MM_ACTIVATIONS(MM_NAME)};
#undef MM_NAME
    return index >= 0 && index < MM_ACTIVATION_COUNT ? names[index] : NULL;
}

int mm_activation_is_valley(int index)
{
#define MM_CASE(NAME, name) case MM_##NAME:
    switch (index) {
        MM_VALLEY_ACTIVATIONS(MM_CASE)
        return 1;
    default:
        return 0;
    }
#undef MM_CASE
}

mm_unary_fn *mm_activation_of(const mm_kernels *k, int activation)
{
    (void)k; /* an exported network may have none */
#define MM_CASE(NAME, name)                                                                        \
    case MM_##NAME:                                                                                \
        return k->name;
    switch (activation) {
        MM_ACTIVATIONS(MM_CASE)
    default:
        return NULL;
    }
#undef MM_CASE
}

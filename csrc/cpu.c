/* cpu.c - which instruction sets this build, this CPU and its operating system have.
   An instruction set that the CPU has is of no use where the system does not save its registers
   (CPUID alone says nothing about that; XGETBV does). */
#include "kernels.h"

#if MM_X86
#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned r[4])
{
    int out[4];
    __cpuidex(out, (int)leaf, 0);
    for (int i = 0; i < 4; i++)
        r[i] = (unsigned)out[i];
}
static uint64_t xgetbv(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned r[4])
{
    __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
}
static uint64_t xgetbv(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* no -mxsave needed */
    return (uint64_t)high << 32 | low;
}
#endif

static int has(unsigned word, int bit) { return (int)(word >> bit & 1); }

static int x86_level(void)
{
    unsigned base[4], leaf1[4], leaf7[4] = {0, 0, 0, 0};
    cpuid(0, base);
    cpuid(1, leaf1);
    if (base[0] >= 7)
        cpuid(7, leaf7);
    if (!has(leaf1[3], 26)) /* SSE2 */
        return MM_SCALAR;
    if (!has(leaf1[2], 27)) /* OSXSAVE: without it XGETBV is illegal */
        return MM_SSE2;
    uint64_t saved = xgetbv();
    int ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xe6) == 0xe6;
    /* AVX, FMA, AVX2 */
    if (!ymm || !has(leaf1[2], 28) || !has(leaf1[2], 12) || !has(leaf7[1], 5))
        return MM_SSE2;
    /* AVX512F, AVX512DQ */
    if (!zmm || !has(leaf7[1], 16) || !has(leaf7[1], 17))
        return MM_AVX2;
    return MM_AVX512;
}
#endif

int mm_isa_supported(int isa)
{
    if (isa == MM_SCALAR)
        return 1;
#if MM_X86
    return isa > MM_SCALAR && isa <= MM_AVX512 && isa <= x86_level();
#elif MM_ARM64
    return isa == MM_NEON;
#else
    return 0;
#endif
}

const char *mm_isa_name(int isa)
{
    static const char *const names[MM_ISA_COUNT] = {"scalar", "sse2", "avx2", "avx512", "neon"};
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

mm_unary_fn *mm_activation_of(const mm_kernels *k, int activation)
{
    switch (activation) {
    case MM_RELU:
        return k->relu;
    case MM_LEAKY_RELU:
        return k->leaky_relu;
    case MM_SWISH:
        return k->swish;
    case MM_MISH:
        return k->mish;
    case MM_PISH:
        return k->pish;
    case MM_SIGMOID:
        return k->sigmoid;
    case MM_TANH:
        return k->tanh;
    case MM_EXP:
        return k->exp;
    default:
        return NULL;
    }
}

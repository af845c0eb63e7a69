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
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
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

int mm_cpu_has_sse42(void)
{
#if MM_X86
    unsigned leaf1[4];
    cpuid(1, leaf1);
    return has(leaf1[2], 20);
#else
    return 1;
#endif
}

int mm_isa_supported(int isa)
{
    if (isa == MM_SCALAR)
        return 1;
#if MM_X86
    return isa > MM_SCALAR && isa <= MM_AVX512 && isa <= x86_level();
#elif MM_ARM64
    return isa == MM_NEON;
#elif MM_WASM
    return isa == MM_SIMD128;
#else
    return 0;
#endif
}

/* Matrix products of 1x1 convolutions in float32, and in something smaller.

   y[o][p] = sum over c of w[o][c] x[c][p]. Of what is smaller DEPTH channels lie side by side,
   whose products one instruction adds to a sum of 32 bits: two integers of 16 bits (pmaddwd, with
   AVX-512 vpdpwssd), two bfloat16 (-DBFLOAT16: vdpbf16ps) or four of 8 bits (-DBYTES: vpdpbusd; x
   has no sign, as behind a ReLU6).

   Usage: products INPUTS OUTPUTS PIXELS TURNS, prints nanoseconds: medians of float32, of what is
   smaller, and of rounding x to it, which is to be added. */

#define _POSIX_C_SOURCE 199309L
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16, TALL = 8 };
typedef __m512 floats;
typedef __m512i ints;
#define F(name) _mm512_##name##_ps
#define I(name) _mm512_##name##_epi32
#define LOAD_I(p) _mm512_loadu_si512(p)
#define STORE_I(p, v) _mm512_storeu_si512(p, v)
#define DOT(sum, v, a) _mm512_dpwssd_epi32(sum, v, a)
#define TO_INTS(v) _mm512_cvtps_epi32(v)
#define TO_FLOATS(v) _mm512_cvtepi32_ps(v)
#define PAIRS(low, high) _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16))
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define HOLD(a, b) __asm__("" : "+v"(a), "+v"(b))
#elif defined(__AVX2__)
enum { LANES = 8, TALL = 6 };
typedef __m256 floats;
typedef __m256i ints;
#define F(name) _mm256_##name##_ps
#define I(name) _mm256_##name##_epi32
#define LOAD_I(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE_I(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define DOT(sum, v, a) _mm256_add_epi32(_mm256_madd_epi16(v, a), sum)
#define TO_INTS(v) _mm256_cvtps_epi32(v)
#define TO_FLOATS(v) _mm256_cvtepi32_ps(v)
#define PAIRS(low, high) _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#else
enum { LANES = 4, TALL = 4 };
typedef __m128 floats;
typedef __m128i ints;
#define F(name) _mm_##name##_ps
#define I(name) _mm_##name##_epi32
#define LOAD_I(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE_I(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define DOT(sum, v, a) _mm_add_epi32(_mm_madd_epi16(v, a), sum)
#define TO_INTS(v) _mm_cvtps_epi32(v)
#define TO_FLOATS(v) _mm_cvtepi32_ps(v)
#define PAIRS(low, high)                                                                           \
    _mm_or_si128(_mm_and_si128(low, _mm_set1_epi32(0xffff)), _mm_slli_epi32(high, 16))
#define MULTIPLY_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#endif

/* What a level of x is: as many as sums of 2,000 products, weights up to 127, fit into 32 bits. */
#if defined(BYTES)
enum { DEPTH = 4, LEVELS = 255 };
#undef DOT
#define DOT(sum, v, a) _mm512_dpbusd_epi32(sum, a, v)
#elif defined(BFLOAT16)
enum { DEPTH = 2, LEVELS = 6 };
#undef DOT
#define DOT(sum, v, a) (ints) _mm512_dpbf16_ps((floats)(sum), (__m512bh)(v), (__m512bh)(a))
#undef TO_FLOATS
#define TO_FLOATS(v) ((floats)(v))
#else
enum { DEPTH = 2, LEVELS = 8191 };
#endif

enum { WIDE = 2, STEP = WIDE * LANES, MOST = 127 };

#ifndef HOLD
/* Or gcc computes all products first and has no registers left for the sums. */
#define HOLD(a, b) __asm__("" : "+x"(a), "+x"(b))
#endif

/* Weights lie as (OUTPUTS / TALL, taps, TALL), so that a tile reads them in one run. */
static void in_floats(const float *x, const float *w, float *y, long inputs, long outputs,
                      long pixels)
{
    for (long o = 0; o < outputs; o += TALL)
        for (long p = 0; p < pixels; p += STEP) {
            floats sums[TALL][WIDE];
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    sums[i][j] = F(setzero)();
            const float *weight = w + o * inputs, *from = x + p;
            for (long c = 0; c < inputs; c++, weight += TALL, from += pixels) {
                floats a = F(loadu)(from), b = F(loadu)(from + LANES);
                for (int i = 0; i < TALL; i++) {
                    floats v = F(set1)(weight[i]);
                    sums[i][0] = MULTIPLY_ADD(v, a, sums[i][0]);
                    sums[i][1] = MULTIPLY_ADD(v, b, sums[i][1]);
                    HOLD(sums[i][0], sums[i][1]);
                }
            }
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    F(storeu)(y + (o + i) * pixels + p + j * LANES, sums[i][j]);
        }
}

static void smaller(const int32_t *x, const int32_t *w, const float *scale, float *y, long inputs,
                    long outputs, long pixels)
{
    long taps = inputs / DEPTH;
    for (long o = 0; o < outputs; o += TALL)
        for (long p = 0; p < pixels; p += STEP) {
            ints sums[TALL][WIDE];
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    sums[i][j] = I(set1)(0);
            const int32_t *weight = w + o * taps, *from = x + p;
            for (long c = 0; c < taps; c++, weight += TALL, from += pixels) {
                ints a = LOAD_I(from), b = LOAD_I(from + LANES);
                for (int i = 0; i < TALL; i++) {
                    ints v = I(set1)(weight[i]);
                    sums[i][0] = DOT(sums[i][0], v, a);
                    sums[i][1] = DOT(sums[i][1], v, b);
                    HOLD(sums[i][0], sums[i][1]);
                }
            }
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    F(storeu)(y + (o + i) * pixels + p + j * LANES,
                              F(mul)(F(set1)(scale[o + i]), TO_FLOATS(sums[i][j])));
        }
}

/* DEPTH channels of floats side by side, rounded. */
static void rounded(const float *x, int32_t *to, long inputs, long pixels)
{
    floats times = F(set1)(LEVELS / 6.0f);
    for (long c = 0; c < inputs; c += DEPTH)
        for (long p = 0; p < pixels; p += LANES) {
            const float *from = x + c * pixels + p;
            ints together;
#if defined(BYTES)
            together = I(set1)(0);
            for (int i = DEPTH; i--;) {
                ints part = TO_INTS(F(mul)(times, F(loadu)(from + i * pixels)));
                together = _mm512_or_si512(_mm512_slli_epi32(together, 8), part);
            }
#elif defined(BFLOAT16)
            (void)times;
            __m512bh both = _mm512_cvtne2ps_pbh(F(loadu)(from + pixels), F(loadu)(from));
            ints high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64((ints)both, 1));
            ints low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256((ints)both));
            together = PAIRS(low, high);
#else
            ints low = TO_INTS(F(mul)(times, F(loadu)(from)));
            ints high = TO_INTS(F(mul)(times, F(loadu)(from + pixels)));
            together = PAIRS(low, high);
#endif
            STORE_I(to + c / DEPTH * pixels + p, together);
        }
}

/* A weight in so few bits. */
static uint32_t bits_of(int value)
{
#if defined(BYTES)
    return (uint8_t)value;
#elif defined(BFLOAT16)
    float exact = (float)value; /* of eight bits, so it is a bfloat16 */
    uint32_t bits;
    memcpy(&bits, &exact, sizeof bits);
    return bits >> 16;
#else
    return (uint16_t)value;
#endif
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void *array(long count)
{
    void *found = 0;
    if (posix_memalign(&found, 64, (size_t)count * 4))
        exit(2);
    memset(found, 0, (size_t)count * 4);
    return found;
}

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    long inputs = atol(arguments[1]), outputs = atol(arguments[2]), pixels = atol(arguments[3]);
    int turns = atoi(arguments[4]);
    long rows = (outputs + TALL - 1) / TALL * TALL;
    if (inputs < DEPTH || inputs % DEPTH || inputs > 2000 || outputs < 1 || pixels % STEP ||
        turns < 1)
        return 2;
    float *x = array(inputs * pixels), *w = array(rows * inputs), *scale = array(rows);
    float *y = array(rows * pixels), *z = array(rows * pixels);
    int32_t *xi = array(inputs / DEPTH * pixels), *wi = array(rows * inputs / DEPTH);
    double *took = malloc(3 * (size_t)turns * sizeof *took);
    if (!took)
        return 2;

    uint32_t state = 1;
    for (long i = 0; i < inputs * pixels; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)(state >> 8) * (6.0f / (1 << 24)); /* behind a ReLU6 */
    }
    for (long o = 0; o < rows; o++) {
        scale[o] = 0.01f * 6 / LEVELS;
        for (long c = 0; c < inputs; c++) {
            state = state * 1664525u + 1013904223u;
            int value = (int)(state >> 24) % (2 * MOST + 1) - MOST;
            w[o / TALL * TALL * inputs + c * TALL + o % TALL] = 0.01f * (float)value;
            long tap = o / TALL * TALL * (inputs / DEPTH) + c / DEPTH * TALL + o % TALL;
            uint32_t bits = bits_of(value) << (c % DEPTH * (32 / DEPTH));
            wi[tap] = (int32_t)((uint32_t)wi[tap] | bits);
        }
    }
    for (int turn = 0; turn < turns; turn++) {
        double start = now();
        in_floats(x, w, y, inputs, rows, pixels);
        double second = now();
        rounded(x, xi, inputs, pixels);
        double third = now();
        smaller(xi, wi, scale, z, inputs, rows, pixels);
        took[turn] = second - start;
        took[2 * turns + turn] = third - second;
        took[turns + turn] = now() - third;
    }
    double worst = 0, largest = 0;
    for (long i = 0; i < outputs * pixels; i++) {
        double off = y[i] - z[i], size = y[i] < 0 ? -y[i] : y[i];
        if (off < 0)
            off = -off;
        if (off > worst)
            worst = off;
        if (size > largest)
            largest = size;
    }
    printf("%.0f %.0f %.0f %.3g\n", median(took, turns), median(took + turns, turns),
           median(took + 2 * turns, turns), worst / largest);
    return 0;
}

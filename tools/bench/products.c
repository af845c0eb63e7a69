/* Matrix products of 1x1 convolutions in float32, and in 16-bit integers whose sums have 32 bits.

   y[o][p] = sum over c of w[o][c] x[c][p]. In integers two channels lie side by side, so that one
   instruction (pmaddwd) does two multiplications and an addition for each pixel.

   Usage: products INPUTS OUTPUTS PIXELS TURNS, prints nanoseconds: medians of float32, of integers,
   and of rounding x to integers, which is to be added. */

#define _POSIX_C_SOURCE 199309L
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX2__)
enum { LANES = 8, TALL = 6 };
typedef __m256 floats;
typedef __m256i ints;
#define F(name) _mm256_##name##_ps
#define I(name) _mm256_##name##_epi32
#define LOAD_I(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE_I(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define MADD(a, b) _mm256_madd_epi16(a, b)
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
#define MADD(a, b) _mm_madd_epi16(a, b)
#define TO_INTS(v) _mm_cvtps_epi32(v)
#define TO_FLOATS(v) _mm_cvtepi32_ps(v)
#define PAIRS(low, high)                                                                           \
    _mm_or_si128(_mm_and_si128(low, _mm_set1_epi32(0xffff)), _mm_slli_epi32(high, 16))
#define MULTIPLY_ADD(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#endif

enum { WIDE = 2, STEP = WIDE * LANES };

/* Or gcc computes all products first and has no registers left for the sums. */
#define HOLD(a, b) __asm__("" : "+x"(a), "+x"(b))

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

static void in_integers(const int32_t *x, const int32_t *w, const float *scale, float *y,
                        long inputs, long outputs, long pixels)
{
    long pairs = inputs / 2;
    for (long o = 0; o < outputs; o += TALL)
        for (long p = 0; p < pixels; p += STEP) {
            ints sums[TALL][WIDE];
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    sums[i][j] = I(set1)(0);
            const int32_t *weight = w + o * pairs, *from = x + p;
            for (long c = 0; c < pairs; c++, weight += TALL, from += pixels) {
                ints a = LOAD_I(from), b = LOAD_I(from + LANES);
                for (int i = 0; i < TALL; i++) {
                    ints v = I(set1)(weight[i]);
                    sums[i][0] = I(add)(MADD(v, a), sums[i][0]);
                    sums[i][1] = I(add)(MADD(v, b), sums[i][1]);
                    HOLD(sums[i][0], sums[i][1]);
                }
            }
            for (int i = 0; i < TALL; i++)
                for (int j = 0; j < WIDE; j++)
                    F(storeu)(y + (o + i) * pixels + p + j * LANES,
                              F(mul)(F(set1)(scale[o + i]), TO_FLOATS(sums[i][j])));
        }
}

/* Two channels of floats to pairs of 16 bits, times a power of two. */
static void rounded(const float *x, int32_t *to, long inputs, long pixels, float scale)
{
    floats times = F(set1)(scale);
    for (long c = 0; c < inputs; c += 2)
        for (long p = 0; p < pixels; p += LANES) {
            const float *from = x + c * pixels + p;
            ints low = TO_INTS(F(mul)(times, F(loadu)(from)));
            ints high = TO_INTS(F(mul)(times, F(loadu)(from + pixels)));
            STORE_I(to + c / 2 * pixels + p, PAIRS(low, high));
        }
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

/* What a level of x is, and of w; with 13 bits and 8 the sums of 2,000 products fit into 32. */
enum { LEVELS = 8191, MOST = 127 };

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    long inputs = atol(arguments[1]), outputs = atol(arguments[2]), pixels = atol(arguments[3]);
    int turns = atoi(arguments[4]);
    long rows = (outputs + TALL - 1) / TALL * TALL;
    if (inputs < 2 || inputs % 2 || inputs > 2000 || outputs < 1 || pixels % STEP || turns < 1)
        return 2;
    float *x = array(inputs * pixels), *w = array(rows * inputs), *scale = array(rows);
    float *y = array(rows * pixels), *z = array(rows * pixels);
    int32_t *xi = array(inputs / 2 * pixels), *wi = array(rows * inputs / 2);
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
            int32_t *pair = wi + o / TALL * TALL * (inputs / 2) + c / 2 * TALL + o % TALL;
            uint32_t bits = (uint32_t)(uint16_t)(int16_t)value << (c % 2 * 16);
            *pair = (int32_t)((uint32_t)*pair | bits);
        }
    }
    for (int turn = 0; turn < turns; turn++) {
        double start = now();
        in_floats(x, w, y, inputs, rows, pixels);
        double second = now();
        rounded(x, xi, inputs, pixels, LEVELS / 6.0f);
        double third = now();
        in_integers(xi, wi, scale, z, inputs, rows, pixels);
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

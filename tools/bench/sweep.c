/* sweep.c - an activation on a range of float32 inputs against double precision, for sweep.py.

   The true values come from libm in double, in forms that neither cancel nor overflow; near zero
   and far away from series, whose next term is below 1e-12. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "minimeso.h"

#define BLOCK 4096
#define SPARSE 8 /* one input of so many is looked at again among strangers */
#define NEAR_ZERO 0x1p-13
#define FAR_AWAY 64.0
#define ABSOLUTE 5e-7
#define ULPS 8.0

#define INLINE static inline __attribute__((always_inline))

typedef int activate_fn(int isa, int activation, float slope, const float *x, float *y, size_t n);

/* An input, what came out, and how far off that is. */
typedef struct {
    double error, wanted;
    float got;
    uint32_t bits;
} place_t;

typedef struct {
    place_t small, large; /* the worst where |f| < 1, absolute; and from 1 on, in ulp */
    place_t failure;      /* the worst beyond the bound (error: of the bound), or not NaN for NaN */
    place_t stranger;     /* the first that comes out differently among other neighbours */
    int64_t inputs, failures, strangers;
} report_t;

/* Where an input lies: blocks of one kind are done without asking for each. */
enum { NEAR, MIDDLE, FAR, MIXED };

INLINE int range_of(double x)
{
    return fabs(x) < NEAR_ZERO ? NEAR : fabs(x) < FAR_AWAY ? MIDDLE : FAR;
}

INLINE double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
INLINE double sigmoid(double x) { return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

INLINE double relu(double x, double p, int range)
{
    (void)p, (void)range;
    return x > 0 ? x : 0;
}

INLINE double leaky_relu(double x, double p, int range)
{
    (void)range;
    return x > 0 ? x : x * p;
}

INLINE double swish(double x, double p, int range)
{
    (void)p;
    if (range == NEAR)
        return x * (0.5 + x / 4);
    return range == FAR ? (x > 0 ? x : -0.0) : x * sigmoid(x);
}

INLINE double mish(double x, double p, int range)
{
    (void)p;
    if (range == NEAR) /* tanh(softplus(0)) = 3/5, its slope there (1 - 9/25) / 2 */
        return x * (0.6 + 0.32 * x);
    return range == FAR ? (x > 0 ? x : -0.0) : x * tanh(softplus(x));
}

INLINE double pish(double x, double p, int range)
{
    const double at_zero = 1.19314718055994530942; /* ln 2 + 1/2; its slope there is 3/4 */
    (void)p;
    if (range == NEAR)
        return x * (0.87324002806558216 + x * (0.75 / (1 + at_zero * at_zero)));
    if (range == FAR) { /* x (pi/2 - atan(1 / (x + 1))) */
        double t = 1 / (fabs(x) + 1), s = t * t;
        double f = 1.57079632679489661923 - t * (1 - s * (1.0 / 3 - s * (1.0 / 5 - s / 7)));
        return x > 0 ? x * f : -0.0;
    }
    return x * atan(softplus(x) + sigmoid(x));
}

INLINE double logistic(double x, double p, int range)
{
    (void)p;
    if (range == NEAR)
        return 0.5 + x / 4;
    return range == FAR ? (x > 0 ? 1 : 0) : sigmoid(x);
}

INLINE double hyperbolic(double x, double p, int range)
{
    (void)p;
    if (range == NEAR)
        return x * (1 - x * x / 3);
    return range == FAR ? (x > 0 ? 1 : -1) : tanh(x);
}

INLINE double exponential(double x, double p, int range)
{
    (void)p;
    if (range == NEAR)
        return 1 + x * (1 + x / 2);
    if (range == FAR && x < 0)
        return 0;
    return x > 88 ? INFINITY : exp(x); /* the kernels promise infinity from there */
}

#define EACH(f, range)                                                                             \
    for (size_t i = 0; i < n; i++)                                                                 \
        wanted[i] = x[i] != x[i] ? NAN : f((double)x[i], p, range);
#define CASE(number, f)                                                                            \
    case number:                                                                                   \
        if (range == NEAR)                                                                         \
            EACH(f, NEAR)                                                                          \
        else if (range == FAR)                                                                     \
            EACH(f, FAR)                                                                           \
        else                                                                                       \
            EACH(f, range_of((double)x[i]))                                                        \
        return 0;

/* The true values; NaN for NaN. */
int sweep_truth(int activation, float slope, const float *x, double *wanted, size_t n)
{
    double p = (double)slope;
    int range = n ? range_of((double)x[0]) : MIXED;
    for (size_t i = 1; i < n; i++)
        range = range_of((double)x[i]) == range ? range : MIXED;
    switch (activation) {
        CASE(MM_RELU, relu)
        CASE(MM_LEAKY_RELU, leaky_relu)
        CASE(MM_SWISH, swish)
        CASE(MM_MISH, mish)
        CASE(MM_PISH, pish)
        CASE(MM_SIGMOID, logistic)
        CASE(MM_TANH, hyperbolic)
        CASE(MM_EXP, exponential)
    default:
        return MM_E_PROGRAM;
    }
}

/* What a float32 can hold; beyond, as if infinity were the next number. */
static double clipped(double v) { return v > 0x1p128 ? 0x1p128 : v < -0x1p128 ? -0x1p128 : v; }

/* The distance of float32 numbers around v, |v| at least 1 (below, the bound is absolute). */
static double ulp(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    bits &= 0x7ff0000000000000u;
    memcpy(&v, &bits, 8);
    return v * 0x1p-23;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static void fail(report_t *r, place_t here)
{
    if (!r->failures++ || here.error > r->failure.error)
        r->failure = here;
}

static void look_closely(const float *x, const double *wanted, const float *got, size_t n,
                         report_t *r)
{
    for (size_t i = 0; i < n; i++) {
        place_t here = {0, wanted[i], got[i], bits_of(x[i])};
        if (x[i] != x[i]) {
            here.error = INFINITY;
            if (got[i] == got[i])
                fail(r, here);
            continue;
        }
        double truth = clipped(wanted[i]), error = fabs(clipped((double)got[i]) - truth);
        double unit = ulp(truth);
        int large = fabs(truth) >= 1;
        double bound = large ? ULPS * unit : ABSOLUTE;
        place_t *worst = large ? &r->large : &r->small;
        here.error = error != error ? INFINITY : large ? error / unit : error;
        if (here.error > worst->error)
            *worst = here;
        here.error = error != error ? INFINITY : error / bound;
        if (here.error > 1)
            fail(r, here);
    }
}

/* Whether anything is worth a closer look, quickly. */
static int is_news(const double *wanted, const float *got, size_t n, const report_t *r)
{
    double small = r->small.error < ABSOLUTE ? r->small.error : ABSOLUTE;
    double large = r->large.error < ULPS ? r->large.error : ULPS;
    int news = 0;
    for (size_t i = 0; i < n; i++) {
        double truth = clipped(wanted[i]), error = fabs(clipped((double)got[i]) - truth);
        double beyond = large * ulp(truth), limit = fabs(truth) < 1 ? small : beyond;
        news |= !(error <= limit);
    }
    return news;
}

/* Inputs must not feel their neighbours: some of them again, each beside a special value. */
static void among_strangers(activate_fn *activate, int isa, int activation, float slope,
                            const float *x, const float *got, size_t n, size_t first, report_t *r)
{
    static const float others[] = {NAN,    -3e38f,    0.0f, INFINITY, 1e-40f,
                                   -20.0f, -INFINITY, 3.0f, 100.0f};
    float mixed[2 * BLOCK / SPARSE + 2], again[2 * BLOCK / SPARSE + 2];
    size_t count = 0;
    for (size_t i = first; i < n; i += SPARSE, count += 2) {
        mixed[count] = x[i];
        mixed[count + 1] = others[count / 2 % (sizeof others / sizeof *others)];
    }
    activate(isa, activation, slope, mixed, again, count);
    for (size_t i = first, k = 0; i < n; i += SPARSE, k += 2)
        if (bits_of(again[k]) != bits_of(got[i]) && (again[k] == again[k] || got[i] == got[i]) &&
            !r->strangers++)
            r->stranger = (place_t){0, (double)got[i], again[k], bits_of(x[i])};
}

/* Inputs with the bits first, first + stride, ..., `count` of them, on some instruction sets. */
int sweep(activate_fn *activate, int activation, float slope, const int *isas, int isa_count,
          uint32_t first, uint32_t stride, int64_t count, report_t *reports)
{
    float x[BLOCK], got[BLOCK];
    double wanted[BLOCK];
    uint32_t bits = first;
    for (int64_t done = 0; done < count; done += BLOCK) {
        size_t n = (size_t)(count - done < BLOCK ? count - done : BLOCK);
        for (size_t i = 0; i < n; i++, bits += stride)
            memcpy(&x[i], &bits, 4);
        int code = sweep_truth(activation, slope, x, wanted, n);
        if (code)
            return code;
        for (int k = 0; k < isa_count; k++) {
            report_t *r = &reports[k];
            code = activate(isas[k], activation, slope, x, got, n);
            if (code)
                return code;
            if (is_news(wanted, got, n, r))
                look_closely(x, wanted, got, n, r);
            among_strangers(activate, isas[k], activation, slope, x, got, n,
                            (size_t)(done / BLOCK % SPARSE), r);
            r->inputs += (int64_t)n;
        }
    }
    return MM_OK;
}

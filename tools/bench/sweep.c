/* sweep.c - an activation's results against the true values, for sweep.py: fast enough for all of
   2^32. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "minimeso.h"

#define BLOCK 4096
#define SPARSE 8 /* one input of so many is looked at again among strangers */
#define ULPS 8.0

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
                         double absolute, report_t *r)
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
        double bound = fmax(large ? ULPS * unit : 0, absolute);
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
static int is_news(const double *wanted, const float *got, size_t n, double absolute,
                   const report_t *r)
{
    double small = r->small.error < absolute ? r->small.error : absolute;
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

/* Inputs and their true values (NaN for NaN) on some instruction sets. */
int sweep(activate_fn *activate, int activation, float slope, double absolute, const int *isas,
          int isa_count, const float *x, const double *wanted, int64_t count, report_t *reports)
{
    float got[BLOCK];
    for (int64_t done = 0; done < count; done += BLOCK, x += BLOCK, wanted += BLOCK) {
        size_t n = (size_t)(count - done < BLOCK ? count - done : BLOCK);
        for (int k = 0; k < isa_count; k++) {
            report_t *r = &reports[k];
            int code = activate(isas[k], activation, slope, x, got, n);
            if (code)
                return code;
            if (is_news(wanted, got, n, absolute, r))
                look_closely(x, wanted, got, n, absolute, r);
            among_strangers(activate, isas[k], activation, slope, x, got, n,
                            (size_t)(done / BLOCK % SPARSE), r);
            r->inputs += (int64_t)n;
        }
    }
    return MM_OK;
}

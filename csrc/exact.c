/* exact.c - sums and functions of doubles whose bits are the same on every machine.

   What judges a face after the network is written in Python.  NumPy's order of sums follows the
   vectors of the CPU, and every C library has an exp and a log of its own, some of them one for
   each CPU; so a last bit would depend on the machine.  Here are only + - * / in the order of the
   source, and the bits of a double; no C library is asked.  Errors are below 2 units in the last
   place.  Constants are 1 / k! and 2 / (2k + 1); LN2_HIGH ends in zeros, so that k * LN2_HIGH is
   exact (as in fdlibm, whose reductions these are). */
#include <math.h> /* the macros only */
#include <string.h>

#include "minimeso.h"

#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)
#endif

static const double LN2 = 0.693147180559945309417, LN2_HIGH = 6.93147180369123816490e-01,
                    LN2_LOW = 1.90821492927058770002e-10;

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^k, -1022 <= k <= 1023 */
static double power_of_2(int k) { return of_bits((uint64_t)(k + 1023) << 52); }

/* (exp(x) - 1) / x by its series, |x| <= log(2) / 2 */
static double exp_series(double x)
{
    static const double factors[] = {1.0,
                                     1.0 / 2,
                                     1.0 / 6,
                                     1.0 / 24,
                                     1.0 / 120,
                                     1.0 / 720,
                                     1.0 / 5040,
                                     1.0 / 40320,
                                     1.0 / 362880,
                                     1.0 / 3628800,
                                     1.0 / 39916800,
                                     1.0 / 479001600,
                                     1.0 / 6227020800};
    double sum = 0.0;
    for (int k = (int)(sizeof factors / sizeof *factors) - 1; k >= 0; k--)
        sum = sum * x + factors[k];
    return sum;
}

double mm_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.8)
        return HUGE_VAL;
    if (x < -745.2)
        return 0.0;
    int k = (int)(x / LN2 + (x < 0.0 ? -0.5 : 0.5));
    double rest = (x - k * LN2_HIGH) - k * LN2_LOW;
    double y = 1.0 + rest * exp_series(rest);
    return y * power_of_2(k / 2) * power_of_2(k - k / 2); /* the first product is exact */
}

double mm_expm1(double x) { return x > -0.34 && x < 0.34 ? x * exp_series(x) : mm_exp(x) - 1.0; }

/* log(1 + x), sqrt(1/2) - 1 <= x <= sqrt(2) - 1, plus k * log(2): with s = x / (2 + x),
   log(1 + x) = 2 s + 2 s^3 / 3 + ..., and 2 s = x - s x */
static double log_series(double x, int k)
{
    static const double factors[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                                     2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
    double s = x / (2.0 + x), square = s * s, sum = 0.0;
    for (int i = (int)(sizeof factors / sizeof *factors) - 1; i >= 0; i--)
        sum = sum * square + factors[i];
    return k * LN2_HIGH - ((s * (x - sum * square) - k * LN2_LOW) - x);
}

double mm_log(double x)
{
    if (x != x || x == HUGE_VAL)
        return x;
    if (x <= 0.0)
        return x < 0.0 ? of_bits(0x7ff8000000000000u) : -HUGE_VAL;
    int k = 0;
    if (x < power_of_2(-1022)) {
        x *= power_of_2(54);
        k = -54;
    }
    k += (int)(bits_of(x) >> 52) - 1023;
    x = of_bits((bits_of(x) & 0x000fffffffffffffu) | bits_of(1.0));
    if (x > 1.4142135623730951) {
        x *= 0.5;
        k++;
    }
    return log_series(x - 1.0, k);
}

double mm_log1p(double x)
{
    if (x > -0.29 && x < 0.41)
        return log_series(x, 0);
    double sum = 1.0 + x;
    if (!(sum > 0.0 && sum < HUGE_VAL))
        return mm_log(sum);
    return mm_log(sum) + (x - (sum - 1.0)) / sum;
}

static double sigmoid(double x)
{
    double power = mm_exp(x < 0.0 ? x : -x);
    return (x < 0.0 ? power : 1.0) / (1.0 + power);
}

static double logit(double p) { return mm_log(p) - mm_log1p(-p); }

int mm_each(int function, const double *x, double *y, size_t n)
{
    double (*f)(double) = function == MM_EACH_EXP       ? mm_exp
                          : function == MM_EACH_SIGMOID ? sigmoid
                          : function == MM_EACH_LOGIT   ? logit
                                                        : NULL;
    if (!f)
        return MM_E_PROGRAM;
    for (size_t i = 0; i < n; i++)
        y[i] = f(x[i]);
    return MM_OK;
}

double mm_dot(const double *x, const double *y, size_t n)
{
    double sums[8] = {0.0}; /* as many as keep a processor busy */
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] += x[i + j] * y[i + j];
    for (size_t j = 0; i + j < n; j++)
        sums[j] += x[i + j] * y[i + j];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

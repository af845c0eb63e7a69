/* right_fmaf.h - fmaf rounded once, for the reference of the kernels with fused multiply-add: that
   of mingw-w64 rounds twice.

   The product of two floats is exact in double.  What the sum loses is put into its last bit (it is
   rounded to odd), and then rounding to float cannot be misled (S. Boldo & G. Melquiond, "Emulation
   of a FMA and correctly rounded sums", IEEE Trans. Computers 57, 2008). */
#ifndef RIGHT_FMAF_H
#define RIGHT_FMAF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float right_fmaf(float a, float b, float c)
{
    double product = (double)a * b, sum = product + c;
    double part = sum - product, error = (product - (sum - part)) + (c - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (error != 0.0 && !(bits & 1) && sum - sum == 0.0) {
        bits += (error > 0.0) == (sum > 0.0) ? 1 : -(uint64_t)1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
}

#define fmaf right_fmaf

#endif

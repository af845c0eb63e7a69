/* Depthwise convolutions and batch norm of training steps, channels last, of one picture at a time:
   `depthwise.py`. Sixteen channels at a time; sums in float32, rounded once. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));

#define LANES 16
#define AT_ONCE 4 /* places of a row; their windows overlap, so what is loaded serves several */
#define ALWAYS static inline __attribute__((always_inline))

typedef struct {
    int height, width, channels, kernel, stride, top, left, out_height, out_width;
} shape;

typedef uint16_t bf16;

ALWAYS v16 all(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

ALWAYS v16 choose(v16i which, v16 yes, v16 no)
{
    return (v16)((which & (v16i)yes) | (~which & (v16i)no));
}

ALWAYS v16 load_float(const float *from)
{
    v16 x;
    memcpy(&x, from, sizeof x);
    return x;
}

ALWAYS void store_float(float *to, v16 x) { memcpy(to, &x, sizeof x); }

ALWAYS v16 load_bf16(const bf16 *from)
{
    v16h x;
    memcpy(&x, from, sizeof x);
    return (v16)(__builtin_convertvector(x, v16u) << 16);
}

ALWAYS void store_bf16(bf16 *to, v16 x)
{
    v16u bits = (v16u)x; /* to the nearest, of two the even one */
    v16h y = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, v16h);
    memcpy(to, &y, sizeof y);
}

#define VALUE float
#define OF(name) name##_float
#include "depthwise_kernels.h"
#undef VALUE
#undef OF

#define VALUE bf16
#define OF(name) name##_bf16
#include "depthwise_kernels.h"

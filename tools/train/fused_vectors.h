/* Eight floats at a time, and activations with their slopes. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef double v8d __attribute__((vector_size(64)));

#define LANES 8
#define MARGIN 3
#define MARGIN_X 8
#define ALWAYS static inline __attribute__((always_inline))

enum { RELU, LEAKY_RELU, SWISH, MISH, PISH };

ALWAYS v8 load(const float *from)
{
    v8 x;
    memcpy(&x, from, sizeof x);
    return x;
}

ALWAYS void store(float *to, v8 x) { memcpy(to, &x, sizeof x); }

ALWAYS v8 all(float x) { return (v8){x, x, x, x, x, x, x, x}; }

ALWAYS v8 choose(v8i which, v8 yes, v8 no) { return (v8)((which & (v8i)yes) | (~which & (v8i)no)); }

ALWAYS float sum(v8 x) { return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7])); }

/* e^x of x <= 0: 2^n e^r, |r| <= log(2) / 2; the polynomial is that of Cephes' expf. */
ALWAYS v8 exp_negative(v8 x)
{
    x = choose(x < -87.0f, all(-87.0f), x);
    v8 n = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    v8i bits = (v8i)n << 23;
    n -= 12582912.0f;
    v8 r = x - n * 0.693359375f + n * 2.12194440e-4f;
    v8 square = r * r;
    v8 high = 4.1665795894e-2f + 8.3334519073e-3f * r +
              square * (1.3981999507e-3f + 1.9875691500e-4f * r);
    v8 p = 5.0000001201e-1f + 1.6666665459e-1f * r + square * high;
    p = p * square + r + 1.0f;
    return (v8)((v8i)p + bits);
}

typedef struct {
    v8 value, slope;
} both;

ALWAYS both swish(v8 x)
{
    v8 e = exp_negative(choose(x > 0.0f, -x, x));
    v8 r = 1.0f / (1.0f + e);
    v8 s = choose(x > 0.0f, r, e * r);
    v8 q = choose(x > 0.0f, e * r, r); /* 1 - s */
    return (both){x * s, s + x * s * q};
}

/* With s = sigmoid(x) and q = 1 - s: tanh(softplus(x)) = (1 - q^2) / (1 + q^2). */
ALWAYS both mish(v8 x)
{
    v8 e = exp_negative(choose(x > 0.0f, -x, x));
    v8 r = 1.0f / (1.0f + e);
    v8 s = choose(x > 0.0f, r, e * r);
    v8 q = choose(x > 0.0f, e * r, r);
    v8 square = q * q;
    v8 d = 1.0f / (1.0f + square);
    v8 t = s * (1.0f + q) * d; /* 1 - q^2 would cancel */
    return (both){x * t, t + 4.0f * x * s * square * d * d};
}

/* x atan(softplus(x) + sigmoid(x)); Kawa & Syga 2021, equations 5 and 6. The arctangent is that of
Abramowitz & Stegun 1964, 4.4.49 (2e-8), log(1 + e) = 2 artanh(e / (2 + e)) as a series. */
ALWAYS both pish(v8 x)
{
    v8 e = exp_negative(choose(x > 0.0f, -x, x));
    v8 r = 1.0f / ((1.0f + e) * (2.0f + e)); /* one division for two */
    v8 s = r * (2.0f + e), t = r * e * (1.0f + e), u = t * t;
    s = choose(x > 0.0f, s, e * s);
    v8 u2 = u * u;
    v8 p = 2.0f + 0.6666666667f * u + u2 * (0.4f + 0.2857142857f * u) +
           u2 * u2 * (0.2222222222f + 0.1818181818f * u + u2 * 0.1538461538f);
    v8 g = choose(x > 0.0f, x, all(0.0f)) + p * t + s;
    v8i large = g > 1.0f;
    v8 a = choose(large, 1.0f / g, g), z = a * a;
    v8 z2 = z * z;
    v8 high = -0.0752896400f + 0.0429096138f * z + z2 * (-0.0161657367f + 0.0028662257f * z);
    v8 c = -0.3333314528f + 0.1999355085f * z + z2 * (-0.1420889944f + 0.1065626393f * z) +
           z2 * z2 * high;
    c = c * z * a + a;
    c = choose(large, 1.57079633f - c, c);
    return (both){x * c, c + x * s * (2.0f - s) / (1.0f + g * g)};
}

ALWAYS both activation(v8 x, int kind, float slope)
{
    if (kind == SWISH)
        return swish(x);
    if (kind == MISH)
        return mish(x);
    if (kind == PISH)
        return pish(x);
    v8 factor = choose(x > 0.0f, all(1.0f), all(kind == RELU ? 0.0f : slope));
    return (both){kind == RELU ? choose(x <= 0.0f, all(0.0f), x) : x * factor, factor};
}

/* Calls `body` once for each activation, so that the compiler knows which it is. */
#define FOR_ACTIVATION(kind, body)                                                                 \
    switch (kind) {                                                                                \
    case RELU:                                                                                     \
        body(RELU);                                                                                \
        break;                                                                                     \
    case LEAKY_RELU:                                                                               \
        body(LEAKY_RELU);                                                                          \
        break;                                                                                     \
    case SWISH:                                                                                    \
        body(SWISH);                                                                               \
        break;                                                                                     \
    case MISH:                                                                                     \
        body(MISH);                                                                                \
        break;                                                                                     \
    default:                                                                                       \
        body(PISH);                                                                                \
        break;                                                                                     \
    }

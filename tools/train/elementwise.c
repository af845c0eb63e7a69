/* Activations of training steps and their gradients, value by value: `elementwise.py`. In float32
   whatever is given; what is given back is rounded once. */

#include "fused_vectors.h"

typedef uint16_t bf16;
typedef uint16_t v8h __attribute__((vector_size(16)));
typedef uint32_t v8u __attribute__((vector_size(32)));

ALWAYS v8 load_float(const float *from) { return load(from); }

ALWAYS void store_float(float *to, v8 x) { store(to, x); }

ALWAYS v8 load_bf16(const bf16 *from)
{
    v8h x;
    memcpy(&x, from, sizeof x);
    return (v8)(__builtin_convertvector(x, v8u) << 16);
}

ALWAYS void store_bf16(bf16 *to, v8 x)
{
    v8u bits = (v8u)x; /* to the nearest, of two the even one; what is no number stays so */
    bits = (v8u)choose(x == x, (v8)(bits + 0x7fff + ((bits >> 16) & 1)), (v8)(bits | 0x400000));
    v8h y = __builtin_convertvector(bits >> 16, v8h);
    memcpy(to, &y, sizeof y);
}

/* `y` or, where a gradient `g` is given, `of_x`: whole vectors, and a last one that is less. */
#define OF_TYPE(type)                                                                              \
    ALWAYS void some_##type(int kind, float slope, const type *x, const type *g, type *to)         \
    {                                                                                              \
        both found = activation(load_##type(x), kind, slope);                                      \
        store_##type(to, g ? load_##type(g) * found.slope : found.value);                          \
    }                                                                                              \
    ALWAYS void each_##type(int kind, size_t count, float slope, const type *x, const type *g,     \
                            type *to)                                                              \
    {                                                                                              \
        size_t k = 0;                                                                              \
        for (; k + LANES <= count; k += LANES)                                                     \
            some_##type(kind, slope, x + k, g ? g + k : g, to + k);                                \
        if (k < count) {                                                                           \
            const size_t bytes = (count - k) * sizeof *x;                                          \
            type last[3][LANES] = {0};                                                             \
            memcpy(last[0], x + k, bytes);                                                         \
            if (g)                                                                                 \
                memcpy(last[1], g + k, bytes);                                                     \
            some_##type(kind, slope, last[0], g ? last[1] : g, last[2]);                           \
            memcpy(to + k, last[2], bytes);                                                        \
        }                                                                                          \
    }                                                                                              \
    void activation_##type(int activation, size_t count, float slope, const type *x, type *y)      \
    {                                                                                              \
        FOR_ACTIVATION(activation, VALUES_##type)                                                  \
    }                                                                                              \
    void activation_gradient_##type(int activation, size_t count, float slope, const type *x,      \
                                    const type *g, type *of_x)                                     \
    {                                                                                              \
        FOR_ACTIVATION(activation, GRADIENTS_##type)                                               \
    }

#define VALUES_float(kind) each_float(kind, count, slope, x, NULL, y)
#define VALUES_bf16(kind) each_bf16(kind, count, slope, x, NULL, y)
#define GRADIENTS_float(kind) each_float(kind, count, slope, x, g, of_x)
#define GRADIENTS_bf16(kind) each_bf16(kind, count, slope, x, g, of_x)

OF_TYPE(float)
OF_TYPE(bf16)

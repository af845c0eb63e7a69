/* Activation, batch norm and pool, forwards and backwards. Names: fused.c. */

#include "fused_convolutions.h"

/* The even, and the odd, of 16 values; and two vectors one after the other from both. */
ALWAYS v8 even(v8 a, v8 b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }

ALWAYS v8 odd(v8 a, v8 b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }

ALWAYS void interleave(float *to, v8 a, v8 b)
{
    store(to, __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    store(to + LANES, __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
}

typedef uint8_t bytes __attribute__((vector_size(8)));

typedef struct {
    v8 best;
    v8i place;
} chosen;

/* The larger of two, the smaller where `factor` is -1; the first of equal ones; a NaN is taken. */
ALWAYS chosen better(chosen c, v8 value, int place, float factor)
{
    v8i is = ~(factor * value <= factor * c.best) & (c.best == c.best);
    return (chosen){choose(is, value, c.best), (is & place) | (~is & c.place)};
}

static void pool_by_two(const float *plane, ptrdiff_t row, float factor, float *pooled,
                        uint8_t *which, const block *b)
{
    const int across = b->width / 2;
    for (int y = 0; y < b->height / 2; y++)
        for (int x = 0; x < across; x += LANES) {
            const float *up = plane + 2 * y * row + 2 * x, *down = up + row;
            v8 u0 = load(up), u1 = load(up + LANES), d0 = load(down), d1 = load(down + LANES);
            chosen c = {even(u0, u1), {0}};
            c = better(c, odd(u0, u1), 1, factor);
            c = better(c, even(d0, d1), 2, factor);
            c = better(c, odd(d0, d1), 3, factor);
            store(pooled + y * across + x, c.best);
            bytes places = __builtin_convertvector(c.place, bytes);
            memcpy(which + y * across + x, &places, sizeof places);
        }
}

static void pool_by(int size, const float *plane, ptrdiff_t row, float factor, float *pooled,
                    uint8_t *which, const block *b)
{
    for (int y = 0; y < b->height / size; y++)
        for (int x = 0; x < b->width / size; x++) {
            const float *window = plane + y * size * row + x * size;
            float best = window[0];
            int place = 0;
            for (int k = 1; k < size * size; k++) {
                const float value = window[k / size * row + k % size];
                if (!(factor * value <= factor * best) && best == best) {
                    best = value;
                    place = k;
                }
            }
            *pooled++ = best;
            *which++ = (uint8_t)place;
        }
}

/* Of values: their sum, that of their squares, and of each window the largest (the smallest where
`sign` is negative) and which it is, row by row. */
static void pool(planes in, int channels, const float *sign, double *totals, float *pooled,
                 uint8_t *which, const block *b)
{
    const int size = b->pool;
    const ptrdiff_t windows = (ptrdiff_t)(b->width / size) * (b->height / size);
    for (int c = 0; c < channels; c++) {
        const float *plane = in.at + c * in.plane;
        const float factor = sign[c] < 0.0f ? -1.0f : 1.0f;
        double total = 0, squares = 0;
        for (int y = 0; y < b->height; y++) {
            v8 t = all(0.0f), q = t;
            for (int x = 0; x < b->width; x += LANES) {
                v8 value = load(plane + y * in.row + x);
                t += value;
                q += value * value;
            }
            total += sum(t);
            squares += sum(q);
        }
        totals[2 * c] = total;
        totals[2 * c + 1] = squares;
        if (size == 2 && b->width % (2 * LANES) == 0)
            pool_by_two(plane, in.row, factor, pooled + c * windows, which + c * windows, b);
        else
            pool_by(size, plane, in.row, factor, pooled + c * windows, which + c * windows, b);
    }
}

/* A row of what the pool's gradient gives its input: scale g where a value was chosen, or 0. */
ALWAYS void scatter(const float *g, const uint8_t *which, float scale, int y, float *to,
                    const block *b)
{
    const int size = b->pool, across = b->width / size;
    if (size == 2 && b->width % (2 * LANES) == 0) {
        for (int x = 0; x < across; x += LANES) {
            bytes places;
            memcpy(&places, which + x, sizeof places);
            v8i place = __builtin_convertvector(places, v8i);
            v8 value = load(g + x) * scale;
            interleave(to + 2 * x, choose(place == y % 2 * 2, value, all(0.0f)),
                       choose(place == y % 2 * 2 + 1, value, all(0.0f)));
        }
        return;
    }
    memset(to, 0, (size_t)b->width * sizeof(float));
    for (int x = 0; x < across; x++)
        if (which[x] / size == y % size)
            to[x * size + which[x] % size] = scale * g[x];
}

/* Through pool, batch norm and activation: `z` is what the activation was given, and the gradient
of the block is scale g where a value was the largest, and everywhere line[0] + line[1] value. */
ALWAYS void back_as(int kind, planes z, planes out, int channels, const float *g,
                    const uint8_t *which, const float *scale, const float *lines, const block *b)
{
    const int across = b->width / b->pool, down = b->height / b->pool;
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < b->height; y++) {
            const float *from = z.at + c * z.plane + y * z.row;
            float *to = out.at + c * out.plane + y * out.row;
            const ptrdiff_t windows = ((ptrdiff_t)c * down + y / b->pool) * across;
            scatter(g + windows, which + windows, scale[c], y, to, b);
            for (int x = 0; x < b->width; x += LANES) {
                both found = activation(load(from + x), kind, b->slope);
                v8 gradient = load(to + x) + lines[2 * c] + lines[2 * c + 1] * found.value;
                store(to + x, gradient * found.slope);
            }
        }
}

static void back(planes z, planes out, int channels, const float *g, const uint8_t *which,
                 const float *scale, const float *lines, const block *b)
{
#define BODY(kind) back_as(kind, z, out, channels, g, which, scale, lines, b)
    FOR_ACTIVATION(b->activation, BODY)
#undef BODY
}

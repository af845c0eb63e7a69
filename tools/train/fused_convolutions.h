/* Planes in memory, and convolutions of them with their gradients. Names: fused.c. */

#include "fused_vectors.h"

/* As fused.py has it. */
typedef struct {
    int inputs, height, width, pool, activation;
    int branches;   /* 0: a convolution; 3: Inception, with so many 3x3 behind the 1x1 */
    int kernel;     /* of a convolution: 3 or 5 */
    int outputs[4]; /* of a convolution: one number; of Inception: of each branch */
    float slope;    /* of Leaky ReLU */
} block;

/* Planes of height x width, `row` and `plane` floats apart. */
typedef struct {
    float *at;
    ptrdiff_t row, plane;
} planes;

ALWAYS planes dense(float *at, const block *b)
{
    return (planes){at, b->width, (ptrdiff_t)b->width * b->height};
}

/* The inner part of planes with margins. */
ALWAYS planes framed(float *at, const block *b)
{
    ptrdiff_t row = b->width + 2 * MARGIN_X;
    return (planes){at + MARGIN * row + MARGIN_X, row, row * (b->height + 2 * MARGIN)};
}

ALWAYS planes from(planes p, int channel)
{
    return (planes){p.at + channel * p.plane, p.row, p.plane};
}

static void copy(planes in, planes out, int channels, const block *b)
{
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < b->height; y++)
            memcpy(out.at + c * out.plane + y * out.row, in.at + c * in.plane + y * in.row,
                   (size_t)b->width * sizeof(float));
}

/* Values, and slopes where somebody wants them. */
ALWAYS void activate_as(int kind, planes in, planes out, planes slopes, int channels,
                        const block *b)
{
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < b->height; y++) {
            const float *from = in.at + c * in.plane + y * in.row;
            float *to = out.at + c * out.plane + y * out.row;
            float *slope = slopes.at ? slopes.at + c * slopes.plane + y * slopes.row : NULL;
            for (int x = 0; x < b->width; x += LANES) {
                both found = activation(load(from + x), kind, b->slope);
                store(to + x, found.value);
                if (slope)
                    store(slope + x, found.slope);
            }
        }
}

static void activate(planes in, planes out, int channels, const block *b)
{
#define BODY(kind) activate_as(kind, in, out, (planes){0}, channels, b)
    FOR_ACTIVATION(b->activation, BODY)
#undef BODY
}

static void activate_and_slope(planes in, planes out, planes slopes, int channels, const block *b)
{
#define BODY(kind) activate_as(kind, in, out, slopes, channels, b)
    FOR_ACTIVATION(b->activation, BODY)
#undef BODY
}

/* --- convolutions ------------------------------------------------------------------------- */

typedef struct {
    int inputs, outputs, kernel, dilation;
} shape;

#ifdef __AVX512VL__
#define REGISTERS 32
#else
#define REGISTERS 16
#endif

/* COUNT outputs and VECTORS * 8 columns at a time stay in registers. */
ALWAYS void tile(int count, int vectors, int kernel, planes in, planes out, const float *weight,
                 const float *bias, shape s, const block *b)
{
    const int radius = kernel / 2, taps = kernel * kernel;
    for (int y = 0; y < b->height; y++)
        for (int x = 0; x < b->width; x += vectors * LANES) {
            v8 sums[4][4];
            for (int o = 0; o < count; o++)
                for (int v = 0; v < vectors; v++)
                    sums[o][v] = all(bias ? bias[o] : 0.0f);
            for (int i = 0; i < s.inputs; i++)
                for (int ky = 0; ky < kernel; ky++) {
                    const float *from = in.at + i * in.plane +
                                        (y + (ky - radius) * s.dilation) * in.row + x -
                                        radius * s.dilation;
                    const float *w = weight + i * taps + ky * kernel;
                    for (int kx = 0; kx < kernel; kx++)
                        for (int v = 0; v < vectors; v++) {
                            v8 value = load(from + kx * s.dilation + v * LANES);
                            for (int o = 0; o < count; o++)
                                sums[o][v] += value * w[o * s.inputs * taps + kx];
                        }
                }
            for (int o = 0; o < count; o++)
                for (int v = 0; v < vectors; v++)
                    store(out.at + o * out.plane + y * out.row + x + v * LANES, sums[o][v]);
        }
}

#define TILES_OF(vectors, kernel)                                                                  \
    switch (count) {                                                                               \
    case 1:                                                                                        \
        tile(1, vectors, kernel, in, to, w, bias ? bias + o : bias, s, b);                         \
        break;                                                                                     \
    case 2:                                                                                        \
        tile(2, vectors, kernel, in, to, w, bias ? bias + o : bias, s, b);                         \
        break;                                                                                     \
    case 3:                                                                                        \
        tile(3, vectors, kernel, in, to, w, bias ? bias + o : bias, s, b);                         \
        break;                                                                                     \
    default:                                                                                       \
        tile(4, vectors, kernel, in, to, w, bias ? bias + o : bias, s, b);                         \
        break;                                                                                     \
    }

#define TILES(kernel)                                                                              \
    if (REGISTERS == 32 && b->width % (4 * LANES) == 0)                                            \
        TILES_OF(4, kernel)                                                                        \
    else if (b->width % (2 * LANES) == 0)                                                          \
        TILES_OF(2, kernel)                                                                        \
    else                                                                                           \
        for (int one = 0; one < count; one++)                                                      \
            tile(1, 1, kernel, in, from(to, one), w + one * s.inputs * kernel * kernel,            \
                 bias ? bias + o + one : bias, s, b);

/* weight: outputs, inputs, kernel, kernel. */
static void convolve(planes in, planes out, const float *weight, const float *bias, shape s,
                     const block *b)
{
    for (int o = 0; o < s.outputs; o += 4) {
        const int count = s.outputs - o < 4 ? s.outputs - o : 4;
        const float *w = weight + (ptrdiff_t)o * s.inputs * s.kernel * s.kernel;
        planes to = from(out, o);
        if (s.kernel == 1) {
            TILES(1)
        } else if (s.kernel == 3) {
            TILES(3)
        } else {
            TILES(5)
        }
    }
}

/* What a convolution's gradient with respect to its input is a convolution with. */
static void turn(const float *weight, float *turned, shape s)
{
    const int taps = s.kernel * s.kernel;
    for (int o = 0; o < s.outputs; o++)
        for (int i = 0; i < s.inputs; i++)
            for (int k = 0; k < taps; k++)
                turned[(i * s.outputs + o) * taps + taps - 1 - k] =
                    weight[(o * s.inputs + i) * taps + k];
}

/* Some rows at a time, so that sums stay in registers for long enough. */
ALWAYS void gradient_tile(int count, int kernel, planes in, planes gradient, v8 *sums, shape s,
                          int y, int rows, const block *b)
{
    const int radius = kernel / 2, taps = kernel * kernel;
    for (int i = 0; i < s.inputs; i++)
        for (int ky = 0; ky < kernel; ky++) {
            v8 kept[4][5];
            for (int o = 0; o < count; o++)
                for (int kx = 0; kx < kernel; kx++)
                    kept[o][kx] = sums[(o * s.inputs + i) * taps + ky * kernel + kx];
            for (int r = y; r < y + rows; r++) {
                const float *from = in.at + i * in.plane +
                                    (r + (ky - radius) * s.dilation) * in.row - radius * s.dilation;
                const float *g = gradient.at + r * gradient.row;
                for (int x = 0; x < b->width; x += LANES) {
                    v8 of[4];
                    for (int o = 0; o < count; o++)
                        of[o] = load(g + o * gradient.plane + x);
                    for (int kx = 0; kx < kernel; kx++) {
                        v8 value = load(from + x + kx * s.dilation);
                        for (int o = 0; o < count; o++)
                            kept[o][kx] += value * of[o];
                    }
                }
            }
            for (int o = 0; o < count; o++)
                for (int kx = 0; kx < kernel; kx++)
                    sums[(o * s.inputs + i) * taps + ky * kernel + kx] = kept[o][kx];
        }
}

/* of_weight and of_bias are written; sums: memory for as many vectors as there are weights. */
static void gradients(planes in, planes gradient, float *of_weight, float *of_bias, v8 *sums,
                      shape s, const block *b)
{
    const int taps = s.kernel * s.kernel, each = s.inputs * taps;
    const int step = s.kernel == 5 && REGISTERS == 16 ? 2 : 4;
    int rows = 512 / b->width;
    rows = rows < 1 ? 1 : rows;
    memset(sums, 0, (size_t)s.outputs * (size_t)each * sizeof(v8));
    for (int y = 0; y < b->height; y += rows) {
        const int here = b->height - y < rows ? b->height - y : rows;
        for (int o = 0; o < s.outputs; o += step) {
            const int count = s.outputs - o < step ? s.outputs - o : step;
            planes g = from(gradient, o);
            v8 *to = sums + o * each;
#define CASE(size, number)                                                                         \
    if (s.kernel == size && count == number)                                                       \
        gradient_tile(number, size, in, g, to, s, y, here, b);
            CASE(1, 1)
            CASE(1, 2)
            CASE(1, 3)
            CASE(1, 4)
            CASE(3, 1) CASE(3, 2) CASE(3, 3) CASE(3, 4) CASE(5, 1) CASE(5, 2) CASE(5, 3) CASE(5, 4)
#undef CASE
        }
    }
    for (int k = 0; k < s.outputs * each; k++)
        of_weight[k] = sum(sums[k]);
    for (int o = 0; o < s.outputs; o++) {
        v8 total = all(0.0f);
        for (int y = 0; y < b->height; y++)
            for (int x = 0; x < b->width; x += LANES)
                total += load(gradient.at + o * gradient.plane + y * gradient.row + x);
        of_bias[o] = sum(total);
    }
}

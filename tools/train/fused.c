/* Training steps of networks with a few channels, in float32, picture by picture.

A block is one convolution, or the four branches of an Inception module, then the activation, batch
norm and max pooling. Batch norm does not change which value of a window is the largest, or, where
its weight is negative, the smallest; so a block keeps that value and the sums for the statistics,
and never writes what lies between. The backward pass computes it anew.

Planes are rows of floats, a multiple of 8 wide. What a convolution reads lies in planes with zeros
around them: MARGIN rows above and below, MARGIN_X columns at either side. fused.py gives all memory
and checks all sizes. */

#include "fused_pool.h"

static int outputs(const block *b)
{
    return b->branches ? b->outputs[0] + b->outputs[1] + b->outputs[2] + b->outputs[3]
                       : b->outputs[0];
}

/* Floats of scratch memory that one picture takes; it begins with zeros. */
size_t fused_scratch(const block *b)
{
    const size_t plane = (size_t)(b->width + 2 * MARGIN_X) * (size_t)(b->height + 2 * MARGIN);
    const size_t all_outputs = (size_t)outputs(b), inputs = (size_t)b->inputs;
    const size_t most = all_outputs > inputs ? all_outputs : inputs;
    const size_t weights = most * most * 25;
    return 4 * most * plane + 8 * weights + weights + 64;
}

typedef struct {
    planes framed[2], dense[2]; /* scratch */
    v8 *sums;
    float *turned;
} memory;

static memory divide(float *scratch, const block *b)
{
    memory m;
    const int all_outputs = outputs(b);
    const ptrdiff_t most = all_outputs > b->inputs ? all_outputs : b->inputs;
    const ptrdiff_t weights = most * most * 25;
    m.sums = (v8 *)(((uintptr_t)scratch + 31) / 32 * 32);
    m.turned = (float *)(m.sums + weights);
    float *at = m.turned + weights;
    for (int k = 0; k < 2; k++) {
        m.framed[k] = framed(at, b);
        at += most * m.framed[k].plane;
    }
    for (int k = 0; k < 2; k++) {
        m.dense[k] = dense(at, b);
        at += most * m.framed[k].plane;
    }
    return m;
}

/* Weights and biases lie one after the other: of a convolution; of Inception, all 1x1 as one of
all outputs, then each 3x3. */
static void inception_forward(const block *b, planes x, const float *w, planes z, memory m)
{
    const int first = b->outputs[0], count = outputs(b);
    const shape all_1x1 = {b->inputs, count, 1, 1};
    convolve(x, m.dense[0], w, w + count * b->inputs, all_1x1, b);
    w += count * b->inputs + count;
    copy(m.dense[0], z, first, b);
    activate(from(m.dense[0], first), m.framed[0], count - first, b);
    for (int branch = 1, at = 0; branch < 4; branch++) {
        const int n = b->outputs[branch];
        convolve(from(m.framed[0], at), from(z, first + at), w, w + n * n * 9,
                 (shape){n, n, 3, branch}, b);
        w += n * n * 9 + n;
        at += n;
    }
}

static void inception_backward(const block *b, planes x, const float *w, planes g, float *of_w,
                               planes *of_x, memory m)
{
    /* g: gradients of what the last activation was given, in m.framed[1] */
    const int first = b->outputs[0], count = outputs(b);
    const shape all_1x1 = {b->inputs, count, 1, 1};
    const float *w1 = w;
    float *of_w1 = of_w;
    convolve(x, m.dense[0], w, w + count * b->inputs, all_1x1, b);
    w += count * b->inputs + count;
    of_w += count * b->inputs + count;
    activate_and_slope(from(m.dense[0], first), m.framed[0], from(m.dense[1], first), count - first,
                       b);
    copy(g, m.dense[0], first, b);
    for (int branch = 1, at = 0; branch < 4; branch++) {
        const int n = b->outputs[branch];
        const shape s = {n, n, 3, branch};
        gradients(from(m.framed[0], at), from(g, first + at), of_w, of_w + n * n * 9, m.sums, s, b);
        turn(w, m.turned, s);
        convolve(from(g, first + at), from(m.dense[0], first + at), m.turned, NULL, s, b);
        w += n * n * 9 + n;
        of_w += n * n * 9 + n;
        at += n;
    }
    for (ptrdiff_t k = first * m.dense[0].plane; k < count * m.dense[0].plane; k += LANES)
        store(m.dense[0].at + k, load(m.dense[0].at + k) * load(m.dense[1].at + k));
    gradients(x, m.dense[0], of_w1, of_w1 + count * b->inputs, m.sums, all_1x1, b);
    if (of_x) {
        turn(w1, m.turned, all_1x1);
        convolve(m.dense[0], *of_x, m.turned, NULL, (shape){count, b->inputs, 1, 1}, b);
    }
}

/* One picture. x: inputs planes; w: weights; sign: of batch norm; z, totals, pooled, which:
 * written.
 */
void fused_forward(const block *b, const float *x, const float *w, const float *sign,
                   float *scratch, float *z, double *totals, float *pooled, uint8_t *which)
{
    memory m = divide(scratch, b);
    const int count = outputs(b);
    planes in = dense((float *)x, b), out = dense(z, b);
    if (b->branches) {
        inception_forward(b, in, w, out, m);
    } else {
        copy(in, m.framed[0], b->inputs, b);
        convolve(m.framed[0], out, w, w + count * b->inputs * b->kernel * b->kernel,
                 (shape){b->inputs, count, b->kernel, 1}, b);
    }
    activate(out, m.dense[1], count, b);
    pool(m.dense[1], count, sign, totals, pooled, which, b);
}

/* One picture: the sums of the gradient of the pool's output, and of its product with `pooled`. */
void fused_sums(const block *b, const float *g, const float *pooled, double *totals)
{
    const ptrdiff_t windows = (ptrdiff_t)(b->width / b->pool) * (b->height / b->pool);
    for (int c = 0; c < outputs(b); c++) {
        double total = 0, products = 0;
        v8d t = {0}, p = t;
        ptrdiff_t k = 0;
        for (; k + LANES <= windows; k += LANES) {
            v8d gradient = __builtin_convertvector(load(g + c * windows + k), v8d);
            t += gradient;
            p += gradient * __builtin_convertvector(load(pooled + c * windows + k), v8d);
        }
        for (int lane = 0; lane < LANES; lane++) {
            total += t[lane];
            products += p[lane];
        }
        for (; k < windows; k++) {
            total += g[c * windows + k];
            products += (double)g[c * windows + k] * pooled[c * windows + k];
        }
        totals[2 * c] = total;
        totals[2 * c + 1] = products;
    }
}

/* One picture. g: gradient of the pool's output; of_w and, unless NULL, of_x: written. */
void fused_backward(const block *b, const float *x, const float *w, const float *z, const float *g,
                    const uint8_t *which, const float *scale, const float *lines, float *scratch,
                    float *of_w, float *of_x)
{
    memory m = divide(scratch, b);
    const int count = outputs(b);
    planes in = dense((float *)x, b), to = dense(of_x, b);
    back(dense((float *)z, b), m.framed[1], count, g, which, scale, lines, b);
    if (b->branches) {
        inception_backward(b, in, w, m.framed[1], of_w, of_x ? &to : NULL, m);
        return;
    }
    const shape s = {b->inputs, count, b->kernel, 1};
    const int weights = count * b->inputs * b->kernel * b->kernel;
    copy(in, m.framed[0], b->inputs, b);
    gradients(m.framed[0], m.framed[1], of_w, of_w + weights, m.sums, s, b);
    if (of_x) {
        turn(w, m.turned, s);
        convolve(m.framed[1], to, m.turned, NULL, (shape){count, b->inputs, b->kernel, 1}, b);
    }
}

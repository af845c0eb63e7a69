/* Of values of one type, VALUE: what `depthwise.c` includes once for each. No guard, for that. */

ALWAYS int OF(inside)(int from, int below, int at) { return at >= from && at < below; }

/* One place of a row of windows: `x` is the plane, (y, x0) the window's corner, which may lie
   outside. */
ALWAYS v16 OF(window)(const shape *s, const VALUE *x, const float *w, int y, int x0, int kernel)
{
    v16 sum = all(0);
    size_t channels = (size_t)s->channels;
    for (int i = 0; i < kernel; i++) {
        if (!OF(inside)(0, s->height, y + i))
            continue;
        for (int j = 0; j < kernel; j++)
            if (OF(inside)(0, s->width, x0 + j)) {
                size_t at = ((size_t)(y + i) * s->width + (size_t)(x0 + j)) * channels;
                sum += OF(load)(x + at) * load_float(w + (size_t)(i * kernel + j) * channels);
            }
    }
    return sum;
}

ALWAYS void OF(row)(const shape *s, const VALUE *x, const float *w, int oy, VALUE *y, int kernel,
                    int stride)
{
    size_t channels = (size_t)s->channels;
    int top = oy * stride - s->top;
    int first = (s->left + stride - 1) / stride; /* of those whose window lies inside the row */
    int below = (s->width - kernel + s->left) / stride + 1;
    int ox = 0;
    while (ox < s->out_width) {
        int x0 = ox * stride - s->left;
        if (ox < first || ox + AT_ONCE > below || ox + AT_ONCE > s->out_width) {
            OF(store)(y + (size_t)ox * channels, OF(window)(s, x, w, top, x0, kernel));
            ox++;
            continue;
        }
        v16 sums[AT_ONCE] = {all(0), all(0), all(0), all(0)};
        for (int i = 0; i < kernel; i++) {
            if (!OF(inside)(0, s->height, top + i))
                continue;
            const VALUE *from = x + ((size_t)(top + i) * s->width + (size_t)x0) * channels;
            const float *taps = w + (size_t)(i * kernel) * channels;
#pragma GCC unroll 16
            for (int j = 0; j < (AT_ONCE - 1) * stride + kernel; j++) {
                v16 value = OF(load)(from + (size_t)j * channels);
#pragma GCC unroll 4
                for (int t = 0; t < AT_ONCE; t++)
                    if (OF(inside)(0, kernel, j - t * stride))
                        sums[t] += value * load_float(taps + (size_t)(j - t * stride) * channels);
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < AT_ONCE; t++)
            OF(store)(y + (size_t)(ox + t) * channels, sums[t]);
        ox += AT_ONCE;
    }
}

ALWAYS void OF(rows)(const shape *s, const VALUE *x, const float *w, VALUE *y, int kernel,
                     int stride)
{
    for (int oy = 0; oy < s->out_height; oy++)
        for (int c = 0; c < s->channels; c += LANES)
            OF(row)(s, x + c, w + c, oy, y + (size_t)oy * s->out_width * s->channels + c, kernel,
                    stride);
}

/* y of x. Weights are (kernel * kernel, channels). */
void OF(depthwise)(const shape *s, const VALUE *x, const float *w, VALUE *y)
{
    if (s->kernel == 3 && s->stride == 1)
        OF(rows)(s, x, w, y, 3, 1);
    else if (s->kernel == 3)
        OF(rows)(s, x, w, y, 3, 2);
    else if (s->stride == 1)
        OF(rows)(s, x, w, y, 5, 1);
    else
        OF(rows)(s, x, w, y, 5, 2);
}

/* The gradient of x where the stride is 2: of each place the windows that it lies in. */
ALWAYS void OF(spread)(const shape *s, const VALUE *g, const float *w, VALUE *of_x, int kernel)
{
    size_t channels = (size_t)s->channels;
    for (int y = 0; y < s->height; y++)
        for (int c = 0; c < s->channels; c += LANES)
            for (int x = 0; x < s->width; x++) {
                v16 sum = all(0);
                for (int i = (y + s->top) % 2; i < kernel; i += 2) {
                    int oy = (y + s->top - i) / 2;
                    if (i > y + s->top || oy >= s->out_height)
                        continue;
                    for (int j = (x + s->left) % 2; j < kernel; j += 2) {
                        int ox = (x + s->left - j) / 2;
                        if (j > x + s->left || ox >= s->out_width)
                            continue;
                        size_t at = ((size_t)oy * s->out_width + (size_t)ox) * channels + c;
                        const float *tap = w + (size_t)(i * kernel + j) * channels + c;
                        sum += OF(load)(g + at) * load_float(tap);
                    }
                }
                OF(store)(of_x + ((size_t)y * s->width + (size_t)x) * channels + c, sum);
            }
}

void OF(depthwise_of_x)(const shape *s, const VALUE *g, const float *w, VALUE *of_x)
{
    if (s->kernel == 3)
        OF(spread)(s, g, w, of_x, 3);
    else
        OF(spread)(s, g, w, of_x, 5);
}

/* The gradient of a row of taps: (kernel, channels), added to. */
ALWAYS void OF(taps)(const shape *s, const VALUE *x, const VALUE *g, float *of_w, int kernel,
                     int stride)
{
    size_t channels = (size_t)s->channels;
    int first = (s->left + stride - 1) / stride;
    int below = (s->width - kernel + s->left) / stride + 1;
    v16 sums[5] = {all(0), all(0), all(0), all(0), all(0)};
    int ox = 0;
    while (ox < s->out_width) {
        int x0 = ox * stride - s->left;
        if (ox < first || ox + AT_ONCE > below || ox + AT_ONCE > s->out_width) {
            v16 gradient = OF(load)(g + (size_t)ox * channels);
#pragma GCC unroll 5
            for (int j = 0; j < kernel; j++)
                if (OF(inside)(0, s->width, x0 + j))
                    sums[j] += gradient * OF(load)(x + (size_t)(x0 + j) * channels);
            ox++;
            continue;
        }
        v16 gradients[AT_ONCE];
#pragma GCC unroll 4
        for (int t = 0; t < AT_ONCE; t++)
            gradients[t] = OF(load)(g + (size_t)(ox + t) * channels);
#pragma GCC unroll 16
        for (int j = 0; j < (AT_ONCE - 1) * stride + kernel; j++) {
            v16 value = OF(load)(x + (size_t)(x0 + j) * channels);
#pragma GCC unroll 4
            for (int t = 0; t < AT_ONCE; t++)
                if (OF(inside)(0, kernel, j - t * stride))
                    sums[j - t * stride] += gradients[t] * value;
        }
        ox += AT_ONCE;
    }
#pragma GCC unroll 5
    for (int j = 0; j < kernel; j++) {
        float *to = of_w + (size_t)j * channels;
        store_float(to, load_float(to) + sums[j]);
    }
}

ALWAYS void OF(all_taps)(const shape *s, const VALUE *x, const VALUE *g, float *of_w, int kernel,
                         int stride)
{
    size_t channels = (size_t)s->channels;
    for (int oy = 0; oy < s->out_height; oy++)
        for (int c = 0; c < s->channels; c += LANES)
            for (int i = 0; i < kernel; i++) {
                int y = oy * stride - s->top + i;
                if (OF(inside)(0, s->height, y))
                    OF(taps)(s, x + (size_t)y * s->width * channels + c,
                             g + (size_t)oy * s->out_width * channels + c,
                             of_w + (size_t)(i * kernel) * channels + c, kernel, stride);
            }
}

/* The gradient of the weights, added to. */
void OF(depthwise_of_w)(const shape *s, const VALUE *x, const VALUE *g, float *of_w)
{
    if (s->kernel == 3 && s->stride == 1)
        OF(all_taps)(s, x, g, of_w, 3, 1);
    else if (s->kernel == 3)
        OF(all_taps)(s, x, g, of_w, 3, 2);
    else if (s->stride == 1)
        OF(all_taps)(s, x, g, of_w, 5, 1);
    else
        OF(all_taps)(s, x, g, of_w, 5, 2);
}

#define ROW 64 /* places whose sums are float32's; those of rows are added in float64 */

ALWAYS void OF(add)(double *totals, v16 sums)
{
    for (int lane = 0; lane < LANES; lane++)
        totals[lane] += (double)sums[lane];
}

/* Of `count` groups of channels that lie behind each other: whole lines of the cache. */
ALWAYS void OF(sums_of)(size_t places, size_t channels, const VALUE *x, double *totals, int count)
{
    for (size_t row = 0; row < places; row += ROW) {
        v16 sums[4] = {all(0), all(0), all(0), all(0)};
        v16 squares[4] = {all(0), all(0), all(0), all(0)};
        for (size_t at = row; at < places && at < row + ROW; at++)
#pragma GCC unroll 4
            for (int k = 0; k < count; k++) {
                v16 value = OF(load)(x + at * channels + k * LANES);
                sums[k] += value;
                squares[k] += value * value;
            }
        for (int k = 0; k < count; k++) {
            OF(add)(totals + k * LANES, sums[k]);
            OF(add)(totals + channels + k * LANES, squares[k]);
        }
    }
}

/* Sums of x and of its squares: (2, channels), added to. */
void OF(norm_sums)(size_t places, size_t channels, const VALUE *x, double *totals)
{
    size_t c = 0;
    for (; c + 4 * LANES <= channels; c += 4 * LANES)
        OF(sums_of)(places, channels, x + c, totals + c, 4);
    for (; c + 2 * LANES <= channels; c += 2 * LANES)
        OF(sums_of)(places, channels, x + c, totals + c, 2);
    for (; c < channels; c += LANES)
        OF(sums_of)(places, channels, x + c, totals + c, 1);
}

/* (x - mean) * scale + bias, between 0 and 6 if `relu6`. `lines`: mean, scale and bias, (3,
   channels); in what follows, too, and more behind them. */
ALWAYS v16 OF(normalized)(v16 x, const float *lines, size_t channels)
{
    return (x - load_float(lines)) * load_float(lines + channels) +
           load_float(lines + 2 * channels);
}

void OF(norm)(size_t places, size_t channels, int relu6, const VALUE *x, const float *lines,
              VALUE *y)
{
    for (size_t at = 0; at < places; at++)
        for (size_t c = 0; c < channels; c += LANES) {
            v16 v = OF(normalized)(OF(load)(x + at * channels + c), lines + c, channels);
            if (relu6) {
                v = choose(v < 0.0f, all(0), v); /* what is no number stays none */
                v = choose(v > 6.0f, all(6), v);
            }
            OF(store)(y + at * channels + c, v);
        }
}

/* g where ReLU6 let v through. */
ALWAYS v16 OF(through)(v16 g, v16 v, int relu6)
{
    return relu6 ? choose((v > 0.0f) & (v < 6.0f), g, all(0)) : g;
}

ALWAYS void OF(gradient_sums_of)(size_t places, size_t channels, int relu6, const VALUE *x,
                                 const VALUE *g, const float *lines, double *totals, int count)
{
    for (size_t row = 0; row < places; row += ROW) {
        v16 sums[4] = {all(0), all(0), all(0), all(0)};
        v16 products[4] = {all(0), all(0), all(0), all(0)};
        for (size_t at = row; at < places && at < row + ROW; at++)
#pragma GCC unroll 4
            for (int k = 0; k < count; k++) {
                const float *own = lines + k * LANES;
                v16 value = OF(load)(x + at * channels + k * LANES);
                v16 gradient = OF(load)(g + at * channels + k * LANES);
                gradient = OF(through)(gradient, OF(normalized)(value, own, channels), relu6);
                sums[k] += gradient;
                products[k] += gradient * (value - load_float(own));
            }
        for (int k = 0; k < count; k++) {
            OF(add)(totals + k * LANES, sums[k]);
            OF(add)(totals + channels + k * LANES, products[k]);
        }
    }
}

/* Sums of the gradient, and of it times x - mean: (2, channels), added to. */
void OF(norm_gradient_sums)(size_t places, size_t channels, int relu6, const VALUE *x,
                            const VALUE *g, const float *lines, double *totals)
{
    size_t c = 0;
    for (; c + 4 * LANES <= channels; c += 4 * LANES)
        OF(gradient_sums_of)(places, channels, relu6, x + c, g + c, lines + c, totals + c, 4);
    for (; c + 2 * LANES <= channels; c += 2 * LANES)
        OF(gradient_sums_of)(places, channels, relu6, x + c, g + c, lines + c, totals + c, 2);
    for (; c < channels; c += LANES)
        OF(gradient_sums_of)(places, channels, relu6, x + c, g + c, lines + c, totals + c, 1);
}

/* scale * g + slope * (x - mean) + constant; `lines`: slope and constant, too, (5, channels). */
void OF(norm_gradient)(size_t places, size_t channels, int relu6, const VALUE *x, const VALUE *g,
                       const float *lines, VALUE *of_x)
{
    for (size_t at = 0; at < places; at++)
        for (size_t c = 0; c < channels; c += LANES) {
            const float *own = lines + c;
            v16 value = OF(load)(x + at * channels + c);
            v16 gradient = OF(load)(g + at * channels + c);
            gradient = OF(through)(gradient, OF(normalized)(value, own, channels), relu6);
            v16 sum = load_float(own + channels) * gradient + load_float(own + 4 * channels) +
                      load_float(own + 3 * channels) * (value - load_float(own));
            OF(store)(of_x + at * channels + c, sum);
        }
}

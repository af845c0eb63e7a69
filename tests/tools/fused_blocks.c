/* Every block, with arrays of just the size that fused.py gives: for sanitizers. */

#include <stdlib.h>

#include "fused.c"

static float *filled(size_t count)
{
    float *found = malloc(count * sizeof(float));
    if (!found)
        abort();
    for (size_t k = 0; k < count; k++)
        found[k] = (float)rand() / (float)RAND_MAX - 0.5f;
    return found;
}

static void check(block b)
{
    const size_t plane = (size_t)b.width * (size_t)b.height, n = (size_t)outputs(&b);
    const size_t inputs = (size_t)b.inputs, windows = plane / (size_t)(b.pool * b.pool);
    size_t weights =
        b.branches ? n * (inputs + 1) : n * (inputs * (size_t)(b.kernel * b.kernel) + 1);
    for (int k = 1; b.branches && k < 4; k++)
        weights += (size_t)(b.outputs[k] * (b.outputs[k] * 9 + 1));
    float *x = filled(inputs * plane), *w = filled(weights), *sign = filled(n);
    float *scratch = calloc(fused_scratch(&b), sizeof(float)), *z = filled(n * plane);
    float *pooled = filled(n * windows), *g = filled(n * windows), *lines = filled(2 * n);
    float *of_w = filled(weights), *of_x = filled(inputs * plane);
    double *totals = malloc(2 * n * sizeof(double));
    uint8_t *which = malloc(n * windows);
    fused_forward(&b, x, w, sign, scratch, z, totals, pooled, which);
    fused_sums(&b, g, pooled, totals);
    fused_backward(&b, x, w, z, g, which, sign, lines, scratch, of_w, of_x);
    fused_backward(&b, x, w, z, g, which, sign, lines, scratch, of_w, NULL);
    void *all_of_it[] = {x, w, sign, scratch, z, pooled, g, lines, of_w, of_x, totals, which};
    for (size_t k = 0; k < sizeof all_of_it / sizeof *all_of_it; k++)
        free(all_of_it[k]);
}

int main(void)
{
    for (int activation = RELU; activation <= PISH; activation++)
        for (int width = 8; width <= 48; width += 8)
            for (int inputs = 1; inputs <= 12; inputs += 11)
                for (int pool = 1; pool <= 4; pool *= 2) {
                    check((block){inputs, 8, width, pool, activation, 3, 1, {1, 4, 3, 2}, 0.1f});
                    check((block){inputs, 4, width, pool, activation, 0, 3, {5}, 0.1f});
                    check((block){inputs, 4, width, pool, activation, 0, 5, {16}, 0.1f});
                }
}

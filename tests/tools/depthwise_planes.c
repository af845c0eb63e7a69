/* Every kernel of depthwise.c over planes of many sizes, each array as large as it must be. */

#include "depthwise.c"

#include <stdlib.h>

static void *zeros(size_t count, size_t size)
{
    void *values = calloc(count ? count : 1, size);
    if (!values)
        exit(2);
    return values;
}

static void one(int height, int width, int channels, int kernel, int stride, int before, int around)
{
    int out_height = (height + around - kernel) / stride + 1;
    int out_width = (width + around - kernel) / stride + 1;
    shape s = {height, width, channels, kernel, stride, before, before, out_height, out_width};
    size_t in = (size_t)height * width * channels, out = (size_t)out_height * out_width * channels;
    float *x = zeros(in, sizeof *x), *y = zeros(out, sizeof *y);
    bf16 *x16 = zeros(in, sizeof *x16), *y16 = zeros(out, sizeof *y16);
    float *w = zeros((size_t)kernel * kernel * channels, sizeof *w);
    double *totals = zeros((size_t)2 * channels, sizeof *totals);
    float *lines = zeros((size_t)5 * channels, sizeof *lines);
    depthwise_float(&s, x, w, y);
    depthwise_bf16(&s, x16, w, y16);
    if (stride == 2) {
        depthwise_of_x_float(&s, y, w, x);
        depthwise_of_x_bf16(&s, y16, w, x16);
    }
    depthwise_of_w_float(&s, x, y, w);
    depthwise_of_w_bf16(&s, x16, y16, w);
    size_t places = (size_t)height * width, c = (size_t)channels;
    norm_sums_float(places, c, x, totals);
    norm_sums_bf16(places, c, x16, totals);
    norm_float(places, c, 1, x, lines, x);
    norm_bf16(places, c, 1, x16, lines, x16);
    norm_gradient_sums_float(places, c, 1, x, x, lines, totals);
    norm_gradient_sums_bf16(places, c, 1, x16, x16, lines, totals);
    norm_gradient_float(places, c, 1, x, x, lines, x);
    norm_gradient_bf16(places, c, 1, x16, x16, lines, x16);
    free(x), free(y), free(x16), free(y16), free(w), free(totals), free(lines);
}

int main(void)
{
    for (int kernel = 3; kernel <= 5; kernel += 2)
        for (int stride = 1; stride <= 2; stride++)
            for (int around = 0; around < kernel; around++)
                for (int size = kernel; size < 14; size++)
                    one(size, size + 3, 16 * (1 + size % 7), kernel, stride, around / 2, around);
    return 0;
}

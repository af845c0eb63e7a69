/* check_convolutions.h - the part of check_kernels.c about convolutions. */
#ifndef CHECK_CONVOLUTIONS_H
#define CHECK_CONVOLUTIONS_H

#include "check_data.h"

/* More than 64 go another way (conv.inc). */
#define MOST_TAPS 120

static void check_conv_as(mm_conv_fn *plain, mm_conv_fn *fast, size_t n, int kind, size_t stride)
{
    size_t room = rounded(n), count = random_below(random_below(4) ? 40 : MOST_TAPS),
           first = random_below(3), most = 300;
    size_t reach = room * stride + MM_SLACK, outputs = 1 + random_below(30);
    size_t weight_taps = first + count + random_below(3);
    float *in = random_array(most + reach, kind);
    float *a = guarded(room * outputs), *b = guarded(room * outputs);
    float *weight = random_array(weight_taps * outputs, 0), *bias = random_array(outputs, 0);
    ptrdiff_t taps[MOST_TAPS];
    for (size_t t = 0; t < count; t++)
        taps[t] = (ptrdiff_t)random_below(most);
    mm_conv c = {.base = in,
                 .taps = taps,
                 .tap_count = count,
                 .weight_taps = weight_taps,
                 .first_tap = first,
                 .weight = weight,
                 .bias = bias,
                 .out = a,
                 .out_stride = (ptrdiff_t)room,
                 .stride = (ptrdiff_t)stride,
                 .outputs = outputs,
                 .width = n,
                 .activation = random_epilogue(),
                 .slope = random_unit()};
    plain(&c);
    c.out = b;
    fast(&c);
    for (size_t o = 0; o < outputs; o++)
        compare_rows("row", a + o * room, b + o * room, n);
    compare("guards", a, b, 0, outputs * room);
    free(in);
    free(weight);
    free(bias);
    release(a);
    release(b);
}

static void check_conv(mm_conv_fn *plain, mm_conv_fn *fast, size_t n, int kind)
{
    if (strcmp(kernel_name, "conv_stride1") == 0)
        check_conv_as(plain, fast, n, kind, 1);
    else if (strcmp(kernel_name, "conv_stride2") == 0)
        check_conv_as(plain, fast, n, kind, 2);
    else
        check_conv_as(plain, fast, n, kind, 1 + random_below(5));
}

static void check_depthwise_as(mm_depthwise_fn *plain, mm_depthwise_fn *fast, size_t n, int kind,
                               mm_depthwise d)
{
    size_t room = rounded(n), reach = (size_t)(d.pool ? 2 : d.stride) * room;
    size_t given = reach + (size_t)d.kernel - 1,
           count = (size_t)(d.stride * (d.lines - 1) + d.kernel);
    float *in[MM_DEPTHWISE_ROWS], *a[4], *b[4], bias = random_unit();
    float *weight = random_array((size_t)(d.kernel * d.kernel), 0);
    for (size_t r = 0; r < count; r++)
        in[r] = random_array(given, kind);
    for (int l = 0; l < 4; l++) {
        a[l] = guarded(room);
        b[l] = guarded(room);
    }
    d.rows = (const float *const *)in;
    d.weight = weight;
    d.bias = &bias;
    d.width = n;
    d.activation = random_epilogue();
    d.slope = random_unit();
    d.out = a;
    plain(&d);
    d.out = b;
    fast(&d);
    for (int l = 0; l < 4; l++) {
        int made = l < (d.pool ? d.lines / 2 : d.lines);
        compare("line", a[l], b[l], made ? n : 0, made ? room : 0);
        release(a[l]);
        release(b[l]);
    }
    for (size_t r = 0; r < count; r++)
        free(in[r]);
    free(weight);
}

static void check_depthwise(mm_depthwise_fn *plain, mm_depthwise_fn *fast, size_t n, int kind)
{
    for (int lines = 1; lines <= 4; lines *= 2)
        for (int kernel = 3; kernel <= 5; kernel += 2)
            for (int stride = 1; stride <= 2; stride++) {
                mm_depthwise d = {.lines = lines, .kernel = kernel, .stride = stride};
                check_depthwise_as(plain, fast, n, kind, d);
                d.pool = 1;
                if (lines > 1 && kernel == 3 && stride == 1)
                    check_depthwise_as(plain, fast, n, kind, d);
            }
}

static void check_planes_as(mm_planes_fn *plain, mm_planes_fn *fast, int kind, mm_planes p)
{
    size_t out_floats = p.out_height * p.out_width, room = rounded(out_floats) + MM_LANES;
    size_t needed = (p.out_width - 1) * (size_t)p.stride + (size_t)p.kernel;
    size_t left = random_below(4), top = random_below(4), wide = left + p.width;
    size_t high = (p.out_height - 1) * (size_t)p.stride + (size_t)p.kernel;
    size_t row = needed > wide ? needed : wide,
           rows = high > top + p.height ? high : top + p.height;
    size_t floats = rows * row + rounded(p.out_width) * (size_t)p.stride + (size_t)p.kernel;
    float *x = random_array(p.channels * p.height * p.width, kind);
    float *weight = random_array(p.channels * (size_t)(p.kernel * p.kernel), 0);
    float *bias = random_array(p.channels, 0), *scratch = guarded(2 * floats);
    float *a = guarded(room * p.channels), *b = guarded(room * p.channels);
    p.x = x;
    p.weight = weight;
    p.bias = bias;
    p.scratch = scratch;
    p.x_stride = (ptrdiff_t)(p.height * p.width);
    p.out_stride = (ptrdiff_t)room;
    p.row_stride = (ptrdiff_t)row;
    p.scratch_stride = (ptrdiff_t)floats;
    p.first = (ptrdiff_t)(top * row + left);
    p.activation = random_epilogue();
    p.slope = random_unit();
    memset(scratch, 0, 2 * floats * sizeof *scratch);
    p.out = a;
    plain(&p);
    memset(scratch, 0, 2 * floats * sizeof *scratch);
    p.out = b;
    fast(&p);
    for (size_t c = 0; c < p.channels; c++)
        compare_rows("plane", a + c * room, b + c * room, out_floats);
    compare("guards", a, b, 0, room * p.channels);
    compare("scratch", scratch, scratch, 0, 2 * floats);
    free(x);
    free(weight);
    free(bias);
    release(scratch);
    release(a);
    release(b);
}

static void check_planes(mm_planes_fn *plain, mm_planes_fn *fast, size_t n, int kind)
{
    static const size_t widths[] = {4, 8, 16, 32};
    for (int kernel = 3; kernel <= 5; kernel += 2)
        for (int stride = 1; stride <= 2; stride++) {
            mm_planes p = {.channels = 1 + random_below(3),
                           .height = 1 + random_below(9),
                           .width = n < 40 ? n : 1 + n % 40,
                           .out_height = 1 + random_below(9),
                           .out_width = widths[random_below(4)],
                           .kernel = kernel,
                           .stride = stride};
            check_planes_as(plain, fast, kind, p);
        }
}

#endif

/* check_kernels.c - every kernel of every instruction set against plain C, bit by bit.

   In the manner of checkasm: the list of kernels comes from the table (MM_KERNELS), so a new one is
   checked without a new line here.  The plain kernels are the truth: kernels_scalar.c for the class
   without fused multiply-add, the same file with MM_SCALAR_FMA (fmaf) for the class with it.
   Sizes lie below, at and above the vectors; data holds NaN, infinities, denormals and huge values;
   outputs have guard zones, inputs end where the contract in kernels.h says that reading ends, so
   that a build with AddressSanitizer sees every step beyond. */
#include "check_convolutions.h"

extern const mm_kernels mm_kernels_scalar_fma;
#ifdef MM_EMULATED
extern const mm_kernels mm_kernels_avx512, mm_kernels_neon, mm_kernels_simd128;
#else
int check_crops(void); /* check_crops.c */
#endif

static const size_t SIZES[] = {1,  2,  3,  4,  5,  7,  8,  9,  15, 16, 17,  23,  24,
                               25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 130};
#define SIZE_COUNT (sizeof SIZES / sizeof *SIZES)

static void check_unary(mm_unary_fn *plain, mm_unary_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n);
    float *x = random_array(room, kind), *a = guarded(room), *b = guarded(room);
    float p = random_unit();
    plain(x, a, n, p);
    fast(x, b, n, p);
    compare("out of place", a, b, n, room);
    memcpy(b, x, room * sizeof *x);
    fast(b, b, n, p);
    compare("in place", a, b, n, room);
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]) && !isnan(a[i]))
            fail("NaN lost", n, i, x[i], a[i]);
    free(x);
    release(a);
    release(b);
}

static void check_binary(mm_binary_fn *plain, mm_binary_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n);
    float *x = random_array(room, kind), *f = random_array(room, kind);
    float *a = guarded(room), *b = guarded(room);
    plain(x, f, a, n);
    fast(x, f, b, n);
    compare("out of place", a, b, n, room);
    memcpy(b, x, room * sizeof *x);
    fast(b, f, b, n);
    compare("in place", a, b, n, room);
    free(x);
    free(f);
    release(a);
    release(b);
}

static void check_affine(mm_affine_fn *plain, mm_affine_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n);
    float *x = random_array(room, kind), *a = guarded(room), *b = guarded(room);
    float scale = random_value(kind), shift = random_value(kind);
    plain(x, a, n, scale, shift);
    fast(x, b, n, scale, shift);
    compare("out of place", a, b, n, room);
    free(x);
    release(a);
    release(b);
}

static void check_fold(mm_fold_fn *plain, mm_fold_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), count = 1 + random_below(5);
    float *rows[5], *a = guarded(room), *b = guarded(room);
    for (size_t r = 0; r < count; r++)
        rows[r] = random_array(room, kind);
    plain((const float *const *)rows, count, a, n);
    fast((const float *const *)rows, count, b, n);
    compare("rows", a, b, n, room);
    for (size_t r = 0; r < count; r++)
        free(rows[r]);
    release(a);
    release(b);
}

static void check_slide(mm_slide_fn *plain, mm_slide_fn *fast, size_t n, int kind)
{
    for (size_t stride = 1; stride <= 4; stride++) {
        size_t room = rounded(n), kernel = 1 + random_below(5), dilation = 1 + random_below(3);
        float *x = random_array(room * stride + (kernel - 1) * dilation + MM_SLACK, kind);
        float *a = guarded(room), *b = guarded(room);
        plain(x, a, n, kernel, stride, dilation);
        fast(x, b, n, kernel, stride, dilation);
        compare("window", a, b, n, room);
        free(x);
        release(a);
        release(b);
    }
}

static void check_linear(mm_linear_fn *plain, mm_linear_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), inputs = 1 + random_below(70);
    float *x = random_array(inputs, kind), *weight = random_array(room * inputs, 0);
    float *bias = random_array(room, 0), *a = guarded(room), *b = guarded(room);
    plain(x, weight, bias, a, inputs, n);
    fast(x, weight, bias, b, inputs, n);
    compare("outputs", a, b, n, room);
    free(x);
    free(weight);
    free(bias);
    release(a);
    release(b);
}

static void check_reduce(mm_reduce_fn *plain, mm_reduce_fn *fast, size_t n, int kind)
{
    float *x = random_array(rounded(n), kind);
    double wanted = plain(x, n), got = fast(x, n);
    if (wanted != got && !(isnan(wanted) && isnan(got)))
        fail("sum", n, 0, (float)wanted, (float)got);
    free(x);
}

static void check_winograd_in(mm_winograd_in_fn *plain, mm_winograd_in_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n);
    float *rows[8], *a = guarded(8 * room), *b = guarded(8 * room);
    for (int i = 0; i < 8; i++)
        rows[i] = random_array(room, kind);
    plain((const float *const *)rows, a, (ptrdiff_t)room, n);
    fast((const float *const *)rows, b, (ptrdiff_t)room, n);
    for (size_t i = 0; i < 8; i++)
        compare_rows("transformed", a + i * room, b + i * room, n);
    compare("guards", a, b, 0, 8 * room);
    for (int i = 0; i < 8; i++)
        free(rows[i]);
    release(a);
    release(b);
}

static void check_winograd_out(mm_winograd_out_fn *plain, mm_winograd_out_fn *fast, size_t n,
                               int kind)
{
    for (size_t count = 2; count <= 6; count += 2) {
        size_t room = rounded(n);
        float *x = random_array(8 * room, kind), *a = guarded(6 * room), *b = guarded(6 * room);
        float *to_a[6], *to_b[6], bias = random_unit();
        for (size_t i = 0; i < 6; i++) {
            to_a[i] = a + i * room;
            to_b[i] = b + i * room;
        }
        int activation = random_epilogue();
        plain(x, (ptrdiff_t)room, bias, to_a, count, n, activation, 0.1f);
        fast(x, (ptrdiff_t)room, bias, to_b, count, n, activation, 0.1f);
        for (size_t i = 0; i < count; i++)
            compare_rows("lines", to_a[i], to_b[i], n);
        compare("guards", a, b, 0, 6 * room);
        free(x);
        release(a);
        release(b);
    }
}

static void check_window(mm_window_fn *plain, mm_window_fn *fast, size_t n, int kind)
{
    for (int kernel = 2; kernel <= 4; kernel += 2) {
        size_t room = rounded(n), count = (size_t)kernel, taken = room * (size_t)kernel;
        float *rows[4], *a = guarded(room), *b = guarded(room);
        /* a row is as wide as it must be, rounded, with a row_padding and the slack behind it */
        size_t given = rounded(n * (size_t)kernel) + MM_LANES + MM_SLACK;
        for (size_t r = 0; r < count; r++)
            rows[r] = random_array(given, kind);
        if (taken > given)
            fail("reads beyond the slack", n, taken, 0.0f, 0.0f);
        mm_window w = {.rows = (const float *const *)rows,
                       .out = a,
                       .width = n,
                       .kernel = kernel,
                       .smallest = (int)random_below(2),
                       .pre_activation = random_pre_activation(),
                       .activation = random_epilogue(),
                       .affine = (int)random_below(2),
                       .slope = random_unit(),
                       .scale = random_unit(),
                       .shift = random_unit()};
        plain(&w);
        w.out = b;
        fast(&w);
        compare("window", a, b, n, room);
        for (size_t x = 0; x < n; x++) {
            int nan = 0;
            for (size_t r = 0; r < count; r++)
                for (int k = 0; k < kernel; k++)
                    nan |= isnan(rows[r][x * (size_t)kernel + (size_t)k]);
            if (nan && !isnan(a[x]))
                fail("NaN lost", n, x, NAN, a[x]);
        }
        for (size_t r = 0; r < count; r++)
            free(rows[r]);
        release(a);
        release(b);
    }
}

static uint8_t *random_bytes(size_t n)
{
    uint8_t *p = malloc(n);
    if (!p)
        exit(2);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)random_bits();
    return p;
}

static void check_resample_y(mm_resample_y_fn *plain, mm_resample_y_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), count = 1 + random_below(7), stride = room + random_below(9);
    uint8_t *x = random_bytes((count - 1) * stride + room);
    float *weight = random_array(count, kind), *a = guarded(room), *b = guarded(room);
    plain(x, (ptrdiff_t)stride, weight, count, a, n);
    fast(x, (ptrdiff_t)stride, weight, count, b, n);
    compare("downwards", a, b, n, room);
    const uint8_t *last = x + (count - 1) * stride;
    plain(last, -(ptrdiff_t)stride, weight, count, a, n);
    fast(last, -(ptrdiff_t)stride, weight, count, b, n);
    compare("upwards", a, b, n, room);
    free(x);
    free(weight);
    release(a);
    release(b);
}

static void check_layer_norm(mm_layer_norm_fn *plain, mm_layer_norm_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), channels = 1 + random_below(19), stride = room + random_below(9);
    size_t all = (channels - 1) * stride + room;
    float *x = random_array(all, kind), *weight = random_array(channels, 0);
    float *bias = random_array(channels, 0), *a = guarded(all), *b = guarded(all);
    mm_layer_norm s = {.x = x,
                       .weight = weight,
                       .bias = bias,
                       .out = a,
                       .x_stride = (ptrdiff_t)stride,
                       .out_stride = (ptrdiff_t)stride,
                       .channels = channels,
                       .width = n,
                       .eps = 1e-5f};
    plain(&s);
    s.out = b;
    fast(&s);
    for (size_t c = 0; c < channels; c++)
        compare_rows("line", a + c * stride, b + c * stride, n);
    memcpy(b, x, all * sizeof *x);
    s.x = b;
    fast(&s);
    for (size_t c = 0; c < channels; c++)
        compare_rows("in place", a + c * stride, b + c * stride, n);
    compare("guards", a, b, 0, all);
    free(x);
    free(weight);
    free(bias);
    release(a);
    release(b);
}

static void check_dequantize(mm_dequantize_fn *plain, mm_dequantize_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n);
    uint8_t *x = random_bytes(room);
    float *scale = random_array(MM_BLOCK, kind), *a = guarded(room), *b = guarded(room);
    plain(x, scale, a, n);
    fast(x, scale, b, n);
    compare("weights", a, b, n, room);
    for (size_t i = 0; i < n; i++) {
        float wanted = (float)(x[i] - 128) * scale[i % MM_BLOCK];
        if (!same(wanted, a[i]))
            fail("rounded otherwise", n, i, wanted, a[i]);
    }
    free(x);
    free(scale);
    release(a);
    release(b);
}

static void check_transpose(mm_transpose_fn *plain, mm_transpose_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), stride = room + random_below(9);
    float *x = random_array((MM_LANES - 1) * stride + room, kind);
    float *a = guarded(room * MM_LANES), *b = guarded(room * MM_LANES);
    plain(x, (ptrdiff_t)stride, a, n);
    fast(x, (ptrdiff_t)stride, b, n);
    compare("transposed", a, b, n * MM_LANES, room * MM_LANES);
    for (size_t i = 0; i < n * MM_LANES; i++)
        if (!same(x[i % MM_LANES * stride + i / MM_LANES], a[i]))
            fail("elsewhere", n, i, x[i % MM_LANES * stride + i / MM_LANES], a[i]);
    free(x);
    release(a);
    release(b);
}

static void check_resample_x(mm_resample_x_fn *plain, mm_resample_x_fn *fast, size_t n, int kind)
{
    size_t room = rounded(n), count = 1 + random_below(7), pixels = count + random_below(20);
    size_t rows = 3 * MM_LANES;
    int32_t *first = malloc(room * sizeof *first);
    if (!first)
        exit(2);
    for (size_t i = 0; i < room; i++)
        first[i] = (int32_t)random_below(pixels - count + 1);
    float *x = random_array(3 * pixels * MM_LANES, kind), *weight = random_array(room * count, 0);
    float *a = guarded(rows * room), *b = guarded(rows * room);
    mm_resample_x s = {.x = x,
                       .weight = weight,
                       .first = first,
                       .out = a,
                       .count = count,
                       .width = n,
                       .out_plane = (ptrdiff_t)(MM_LANES * room),
                       .out_stride = (ptrdiff_t)room,
                       .rounding = random_below(2) ? MM_TO_WHOLE : 0.0f};
    plain(&s);
    s.out = b;
    fast(&s);
    for (size_t i = 0; i < rows; i++)
        compare_rows("line", a + i * room, b + i * room, n);
    compare("guards", a, b, 0, rows * room);
    free(x);
    free(weight);
    free(first);
    release(a);
    release(b);
}

static void check_table(const char *name, const mm_kernels *plain, const mm_kernels *fast)
{
    int count = 0;
    isa_name = name;
    for (int round = 0; round < 12; round++)
        for (size_t s = 0; s < SIZE_COUNT; s++) {
            count = 0;
#define CHECK(class, kernel)                                                                       \
    kernel_name = #kernel;                                                                         \
    check_##class(plain->kernel, fast->kernel, SIZES[s], round % 3);                               \
    count++;
            MM_KERNELS(CHECK)
#undef CHECK
        }
    printf("%s: %d kernels checked\n", name, count);
}

int main(void)
{
#ifdef MM_EMULATED
    /* the emulation rounds a multiply-add twice */
    check_table("avx512 (emulated)", &mm_kernels_scalar, &mm_kernels_avx512);
    check_table("neon (emulated)", &mm_kernels_scalar, &mm_kernels_neon);
    check_table("simd128 (emulated)", &mm_kernels_scalar, &mm_kernels_simd128);
#else
    for (int isa = 0; isa < MM_ISA_COUNT; isa++) {
        const mm_kernels *fast = mm_isa_supported(isa) ? mm_kernels_of(isa) : NULL;
        int fused = isa != MM_SCALAR && isa != MM_SSE2 && isa != MM_SIMD128;
        if (fast)
            check_table(mm_isa_name(isa), fused ? &mm_kernels_scalar_fma : &mm_kernels_scalar,
                        fast);
        else
            printf("%s: not on this machine\n", mm_isa_name(isa));
    }
    failures += check_crops();
#endif
    printf("%d failures\n", failures);
    return failures != 0;
}

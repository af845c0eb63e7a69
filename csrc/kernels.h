/* kernels.h - the kernel table: what each kernel promises.

   Every kernel exists once per instruction set, made from one template (*.inc) over the
   operations of simd/<isa>.h; a program calls them through the table only.

   Common contract.  All data is float32.  `n` is a number of elements of a row; kernels work on
   whole vectors and may read and write up to `n` rounded up to MM_LANES.  No alignment is needed.
   x == y is allowed where x and y have the same stride; otherwise buffers do not overlap.
   Each output element sees the same operations in the same order on every instruction set, so
   there are two classes of results: with fused multiply-add (avx2, avx512, neon) and without
   (scalar, sse2, simd128).  Within a class all bits agree.  NaN in, NaN out. */
#ifndef MINIMESO_KERNELS_H
#define MINIMESO_KERNELS_H

#include "minimeso.h"

#if defined(_MSC_VER)
#define MM_INLINE static __forceinline
#elif defined(MM_EMULATED) /* by the checks: inlining emulated vectors takes minutes */
#define MM_INLINE static
#elif defined(MM_SMALL) /* see kernels_scalar.c */
#define MM_INLINE static inline
#else
#define MM_INLINE static inline __attribute__((always_inline))
#endif

/* That memory will be read soon (into the second cache): where rows of several planes take turns,
   the processor does not guess it. */
#if defined(__GNUC__)
#define MM_PREFETCH(p) __builtin_prefetch(p, 0, 2)
#else
#define MM_PREFETCH(p) (void)(p)
#endif

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define MM_X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MM_ARM64 1
#elif defined(__wasm_simd128__)
#define MM_WASM 1
#endif

/* One row of each of `outputs` output channels, in blocks of B = 4 and at the end 2 and 1; of the
   block that begins with channel b:
   out[o * out_stride + x] = f(bias[o] + sum over t < tap_count of
       weight[b * weight_taps + (first_tap + t) * B + o - b] * base[taps[t] + x * stride])
   summed in that order, starting from the bias.  f is a fused one of activations.h or, for any
   other value of `activation`, nothing.  out does not overlap what is read. */
typedef struct {
    const float *base;
    const ptrdiff_t *taps;
    const float *weight, *bias;
    float *out;
    ptrdiff_t out_stride, stride;
    size_t tap_count, weight_taps, first_tap, outputs, width;
    const char *ahead; /* what will be wanted next, or NULL: `ahead_bytes` for a tap of a block */
    size_t ahead_bytes;
    int activation;
    float slope;
} mm_conv;

/* `lines` (4, 2 or 1) lines of one channel of a convolution by itself, K = kernel (3 or 5), S =
   stride (1 or 2); or, where these are 3 and 1, with `pool` half as many of the largest of its
   2 x 2 windows:
   c[l][x] = *bias + sum over r < K, k < K of weight[K * r + k] * rows[S * l + r][S * x + k], in
   that order; but over k first, and then r, where K is 5 or S is 2
   out[l][x] = f(c[l][x]), or f(largest of c[2 * l + i][2 * x + j], i < 2, j < 2), f as in mm_conv.
   There are S * (lines - 1) + K rows; the lines of out do not overlap them.  They are written from
   the first to the last. */
#define MM_DEPTHWISE_ROWS 11 /* at most */
typedef struct {
    const float *const *rows;
    const float *weight, *bias;
    float *const *out;
    size_t width; /* of out */
    int lines, kernel, stride, pool, activation;
    float slope;
} mm_depthwise;

/* The same without a pool for whole planes of 4, 8 or a multiple of MM_LANES columns and any lines,
   one channel after the other.  Each is first copied to where zeros are around it: line i of a
   plane lies at x + c * x_stride + i * width, its copy at scratch + first + i * row_stride, and
   out[c * out_stride + y * out_width + x] = f(bias[c] + sum over k < K, r < K of weight[c * K * K +
       K * r + k] * scratch[(S * y + r) * row_stride + S * x + k]), in that order
   There are two scratches, scratch_stride apart, which take turns; the memory of each reaches
   S * (out_width rounded up to MM_LANES) + K elements beyond the last row that is read. */
typedef struct {
    const float *x, *weight, *bias;
    float *out, *scratch;
    ptrdiff_t x_stride, out_stride, row_stride, scratch_stride, first;
    size_t channels, height, width, out_height, out_width;
    int kernel, stride, activation;
    float slope;
} mm_planes;

/* One output row of a max-pool without padding whose kernel is its stride, 2 or 4:
   out[x] = g(largest of pre_activation(rows[r][x * kernel + k]), r < kernel, k < kernel)
   or the smallest, where `smallest` is set.  pre_activation is a valley of activations.h or, for
   any other value, nothing; g(y) = f(y) * scale + shift with f as in mm_conv, and without the sum
   where `affine` is not set.  out does not overlap the rows, of which up to MM_SLACK elements
   behind the row_padding after them are read. */
typedef struct {
    const float *const *rows;
    float *out;
    size_t width;
    int kernel, smallest, pre_activation, activation, affine;
    float slope, scale, shift;
} mm_window;

/* One line of a layer norm over channels, x_stride and out_stride apart:
   out[c][i] = (x[c][i] - mean[i]) / sqrt(variance[i] + eps) * weight[c] + bias[c], with mean and
   variance over all c, which are added up in an order that normalize.inc has; x == out is allowed
   where the strides are the same, else they do not overlap */
typedef struct {
    const float *x, *weight, *bias;
    float *out;
    ptrdiff_t x_stride, out_stride;
    size_t channels, width;
    float eps;
} mm_layer_norm;

typedef void mm_conv_fn(const mm_conv *c);
typedef void mm_depthwise_fn(const mm_depthwise *d);
typedef void mm_planes_fn(const mm_planes *p);
typedef void mm_window_fn(const mm_window *w);
typedef void mm_layer_norm_fn(const mm_layer_norm *n);
/* y[i] = f(x[i]); p is the slope of those that have one */
typedef void mm_unary_fn(const float *x, float *y, size_t n, float p);
/* y[i] = f(a[i], b[i]); add_doubled: a[i] + b[i / 2] */
typedef void mm_binary_fn(const float *a, const float *b, float *y, size_t n);
/* y[i] = x[i] * scale + shift; clamp: min(max(x[i], scale), shift) */
typedef void mm_affine_fn(const float *x, float *y, size_t n, float scale, float shift);
/* y[i] = f over r < count of rows[r][i], in that order; count >= 1 */
typedef void mm_fold_fn(const float *const *rows, size_t count, float *y, size_t n);
/* y[i] = f over k < kernel of x[i * stride + k * dilation]; y does not overlap x */
typedef void mm_slide_fn(const float *x, float *y, size_t n, size_t kernel, size_t stride,
                         size_t dilation);
/* y[o] = bias[o] + sum over i of weight[(o / L * inputs + i) * L + o % L] * x[i], L = MM_LANES,
   in four partial sums over i % 4; n = number of outputs */
typedef void mm_linear_fn(const float *x, const float *weight, const float *bias, float *y,
                          size_t inputs, size_t n);
/* sum of x[i], i < n rounded up to MM_LANES (the padding is zero), in MM_LANES partial sums */
typedef double mm_reduce_fn(const float *x, size_t n);

/* The transforms of vertical Winograd convolution, see winograd.inc: eight rows to eight rows,
   out_stride apart; and eight rows, x_stride apart, to `count` (2, 4 or 6) rows plus bias, then the
   activation as in mm_conv.  Inputs and outputs do not overlap. */
typedef void mm_winograd_in_fn(const float *const *rows, float *out, ptrdiff_t out_stride,
                               size_t n);
typedef void mm_winograd_out_fn(const float *x, ptrdiff_t x_stride, float bias, float *const *rows,
                                size_t count, size_t n, int activation, float slope);

/* y[i] = (x[i] - 128) * scale[i % MM_BLOCK]; y does not overlap the rest */
typedef void mm_dequantize_fn(const uint8_t *x, const float *scale, float *y, size_t n);

/* The steps of resize.c, see resize.inc.
   y[i] = sum over k < count of weight[k] * x[k * stride + i], in that order, count >= 1 */
typedef void mm_resample_y_fn(const uint8_t *x, ptrdiff_t stride, const float *weight, size_t count,
                              float *y, size_t n);
/* y[i * MM_LANES + l] = x[l * stride + i] for l < MM_LANES; they do not overlap */
typedef void mm_transpose_fn(const float *x, ptrdiff_t stride, float *y, size_t n);
/* MM_LANES lines of the output, l < MM_LANES, and their three channels, c < 3:
   out[c * out_plane + l * out_stride + i] = (sum over k < count, in that order, of
       weight[i * count + k] * x[(3 * (first[i] + k) + c) * MM_LANES + l]) / 255, count >= 1
   for i < width, the sum cut to 0..255 and with `rounding` added and subtracted.  The quotient is
   exact where the sum is 0, 1, ..., 255.  Tables, too, hold what belongs to width rounded up to
   MM_LANES.  out does not overlap the rest. */
typedef struct {
    const float *x, *weight;
    const int32_t *first;
    float *out;
    ptrdiff_t out_plane, out_stride;
    size_t count, width;
    float rounding; /* 0, or MM_TO_WHOLE, which leaves whole numbers (to even where in doubt) */
} mm_resample_x;
#define MM_TO_WHOLE 12582912.0f /* 1.5 * 2^23 */

typedef void mm_resample_x_fn(const mm_resample_x *s);

#define MM_UNARY_KERNEL(X, NAME, name, store, shape) X(unary, name)

/* The list of kernels: class, name.  The table, the names and the checks are made from it. */
#define MM_KERNELS(X)                                                                              \
    X(conv, conv_stride1)                                                                          \
    X(conv, conv_stride2)                                                                          \
    X(conv, conv_any_stride)                                                                       \
    X(depthwise, depthwise)                                                                        \
    X(planes, depthwise_planes)                                                                    \
    X(window, max_pool)                                                                            \
    X(layer_norm, layer_norm)                                                                      \
    MM_ACTIVATION_LIST(MM_UNARY_KERNEL, X)                                                         \
    X(binary, add)                                                                                 \
    X(binary, sub)                                                                                 \
    X(binary, mul)                                                                                 \
    X(binary, div)                                                                                 \
    X(binary, prelu)                                                                               \
    X(binary, add_doubled)                                                                         \
    X(affine, affine)                                                                              \
    X(affine, clamp)                                                                               \
    X(fold, fold_max)                                                                              \
    X(fold, fold_min)                                                                              \
    X(fold, fold_sum)                                                                              \
    X(slide, slide_max)                                                                            \
    X(slide, slide_min)                                                                            \
    X(slide, slide_sum)                                                                            \
    X(linear, linear)                                                                              \
    X(reduce, reduce_sum)                                                                          \
    X(winograd_in, winograd_in)                                                                    \
    X(winograd_out, winograd_out)                                                                  \
    X(dequantize, dequantize)                                                                      \
    X(resample_y, resample_y)                                                                      \
    X(transpose, transpose)                                                                        \
    X(resample_x, resample_x)

typedef struct {
#define MM_FIELD(class, name) mm_##class##_fn *name;
    MM_KERNELS(MM_FIELD)
#undef MM_FIELD
} mm_kernels;

/* The table of an instruction set, or NULL where this build has none.  Whether the machine can run
   it is for mm_isa_supported, once: CPUID costs microseconds in a virtual machine. */
const mm_kernels *mm_kernels_of(int isa);
/* The unary kernel of an MM_RELU.. activation. */
mm_unary_fn *mm_activation_of(const mm_kernels *kernels, int activation);

extern const mm_kernels mm_kernels_scalar;
#if MM_X86
extern const mm_kernels mm_kernels_sse2, mm_kernels_avx2, mm_kernels_avx512;
#elif MM_ARM64
extern const mm_kernels mm_kernels_neon;
#elif MM_WASM
extern const mm_kernels mm_kernels_simd128;
#endif

#endif

/* operators.h - the list of operators, a row each.  A new one is a row here and its functions in
   one of the op_*.c; its number, its name, the guard, the planner's measures and the bands follow.

   X(NAME, inputs, outputs, lines, banded, check, measure, run)
   NAME      its number is MM_OP_NAME
   inputs    how many tensors it reads: `input`, `second`
   outputs   how many it writes
   lines     mm_lines_<lines>: the lines of an input that lines of the output need
   banded    mm_banded_<banded>: whether it may share a stage; with all of an input, only as the
             first
   check     mm_check_<check>: whether shapes, parameters and tables fit
   measure   mm_measure_<measure>: what it needs beside its tensors
   run       mm_run_<run>: lines of the output
   Types and promises of these are in ops.h; fields of a step that an operator does not name are
   ignored.  "epilogue": see mm_step. */
#ifndef MINIMESO_OPERATORS_H
#define MINIMESO_OPERATORS_H

#define MM_OPERATORS(X)                                                                            \
    /* (N, C, H, W) float32 of the caller -> tensor; epilogue */                                   \
    X(INPUT_F32, 0, 1, same, maps, input, nothing, input_f32)                                      \
    /* (N, H, W, C) uint8 of the caller / 255 -> tensor; epilogue */                               \
    X(INPUT_U8, 0, 1, same, maps, input, nothing, input_u8)                                        \
    /* tensor -> (N, C, H, W) float32 of the caller */                                             \
    X(OUTPUT, 1, 0, same, never, output, nothing, output)                                          \
    /* input -> output at channel (feature) `at`; epilogue */                                      \
    X(COPY, 1, 1, same, maps, copy, nothing, copy)                                                 \
    /* 0 -> output */                                                                              \
    X(ZERO, 0, 1, same, maps, zero, nothing, zero)                                                 \
    /* input -> output: first_table has the channel (feature) of the input for each; epilogue */   \
    X(SELECT, 1, 1, same, maps, select, select, select)                                            \
    /* weight, bias; epilogue */                                                                   \
    X(CONV, 1, 1, window, maps, conv, conv, conv)                                                  \
    /* the same for kernels 3, 5 or 7 high, strides 1, one group, in dilation_h tiles of           \
       9 - kernel_h lines at once; first_constant: a row of zeros */                               \
    X(WINOGRAD, 1, 1, window, maps, winograd, winograd, winograd)                                  \
    /* the same for kernels 3 x 3 or 5 x 5, strides 1 or 2, as many groups as channels in and out; \
       or for 3 x 3, strides 1 and a 2 x 2 max-pool: its window is 4 x 4, its strides are 2, and   \
       the epilogue comes last.  first_constant: a row of zeros */                                 \
    X(DEPTHWISE, 1, 1, window, maps, depthwise, depthwise, depthwise)                              \
    /* a 1x1 convolution of maps that lie plane by plane (op_planes.c): weight, bias; epilogue     \
       without slopes, scale and shift */                                                          \
    X(POINTWISE, 1, 1, all, first, pointwise, pointwise, pointwise)                                \
    /* DEPTHWISE without a pool to such maps, and from them where plane_in is set; plane_in,       \
       plane_out: width of a line of a plane.  first_constant: a row of zeros; epilogue as         \
       before */                                                                                   \
    X(DEPTHWISE_PLANES, 1, 1, planes, planes, depthwise_planes, depthwise_planes,                  \
      depthwise_planes)                                                                            \
    /* weight, bias; epilogue */                                                                   \
    X(LINEAR, 1, 1, all, never, linear, nothing, linear)                                           \
    /* sign < 0: smallest instead of largest; epilogue.  With `pre_activation`, a valley of        \
       activations.h, of that of the input: 2 x 2 or 4 x 4 only, without padding or overlap */     \
    X(MAX_POOL, 1, 1, window, maps, max_pool, pool, max_pool)                                      \
    /* scale_x, scale_y in constants; epilogue */                                                  \
    X(AVG_POOL, 1, 1, window, maps, avg_pool, pool, avg_pool)                                      \
    /* plane_in: the input lies plane by plane; epilogue */                                        \
    X(GLOBAL_AVG_POOL, 1, 1, all, never, global_avg_pool, nothing, global_avg_pool)                \
    /* input + second, second may be (C, 1, 1); or half as high and wide, then each of its         \
       elements counts for 2 x 2; epilogue */                                                      \
    X(ADD, 2, 1, sum, no_factor, binary, nothing, add)                                             \
    /* input * second, second may be (C, 1, 1); epilogue */                                        \
    X(MUL, 2, 1, same, no_factor, binary, nothing, mul)                                            \
    /* tensor -> vector, channel by channel; epilogue */                                           \
    X(FLATTEN, 1, 1, all, never, flatten, nothing, flatten)                                        \
    /* over channels, or of a vector; epilogue */                                                  \
    X(SOFTMAX, 1, 1, same, maps, softmax, softmax, softmax)                                        \
    /* index_y, index_x in tables; epilogue */                                                     \
    X(NEAREST, 1, 1, all, never, nearest, nearest, nearest)                                        \
    /* index_y, index_x in tables, weights in constants; epilogue */                               \
    X(BILINEAR, 1, 1, all, never, bilinear, bilinear, bilinear)                                    \
    /* input - second, or second - input with `reversed`; second may be (C, 1, 1); epilogue */     \
    X(SUB, 2, 1, same, no_factor, ordered, ordered, sub)                                           \
    /* input / second, or second / input with `reversed`; second may be (C, 1, 1); epilogue */     \
    X(DIV, 2, 1, same, no_factor, ordered, ordered, div)                                           \
    /* min(max(input, low), high); epilogue */                                                     \
    X(CLAMP, 1, 1, same, maps, clamp, nothing, clamp)                                              \
    /* elements in the order (C, H, W), in another shape; epilogue */                              \
    X(RESHAPE, 1, 1, all, never, reshape, nothing, reshape)                                        \
    /* axis i of the output is axis axes[i] of the input; epilogue */                              \
    X(PERMUTE, 1, 1, all, never, permute, nothing, permute)                                        \
    /* blocks of stride_h x stride_w channels become blocks of pixels, the first pad_top lines and \
       pad_left columns of which are left out; epilogue */                                         \
    X(PIXEL_SHUFFLE, 1, 1, shuffle, maps, pixel_shuffle, nothing, pixel_shuffle)                   \
    /* the first channel (feature) with the largest value, or a NaN; epilogue */                   \
    X(ARGMAX, 1, 1, same, maps, argmax, argmax, argmax)                                            \
    /* `groups` groups of channels (features) -> (groups, 1, 3): mean, what float32 leaves of it,  \
       and 1 / sqrt(variance + low); epilogue */                                                   \
    X(MOMENTS, 1, 1, all, never, moments, moments, moments)                                        \
    /* (input - mean) * factor of its group, moments in second, then * first_constant +            \
       second_constant per channel (feature); epilogue */                                          \
    X(NORMALIZE, 2, 1, all, never, normalize, nothing, normalize)                                  \
    /* (input - mean) / sqrt(variance + low) over the channels of each place, then *               \
       first_constant + second_constant per channel; epilogue */                                   \
    X(LAYER_NORM, 1, 1, same, maps, layer_norm, nothing, layer_norm)

#endif

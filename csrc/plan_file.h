/* plan_file.h - the fields of a plan file, in the order in which they stand there.

   A plan file is little-endian: MM_PLAN_MAGIC, the CRC-32 of all that follows it as 4 bytes, then
   numbers of 8 bytes: mm_plan_version(); the fields of MM_PLAN_COUNTS; whether there are
   thresholds, and these; of each input and then of each output the length of its name and the name,
   with zeros up to a multiple of 8 bytes; all fields of each tensor, step and stage.  Then
   constants, tables and parameters, 4 bytes a value, and quantized weights, a byte each.  Floats
   among numbers of 8 bytes are their bits.

   I(field) is an integer, F(field) a float, A(field, i) one of an array. */
#ifndef MINIMESO_PLAN_FILE_H
#define MINIMESO_PLAN_FILE_H

#include <stddef.h>
#include <stdint.h>

/* As in zlib and PNG. */
uint32_t mm_crc32(const unsigned char *p, size_t bytes);

/* The last byte grows with what mm_plan_version() does not see: how weights are packed, say. */
#define MM_PLAN_MAGIC "MMPLAN\0\2"
#define MM_PLAN_HEAD 12 /* bytes of magic and checksum */

/* clang-format off */
#define MM_PLAN_COUNTS(I)                                                                          \
    I(tensor_count) I(step_count) I(stage_count) I(parameter_count) I(constant_count)              \
    I(table_count) I(quantized_count) I(arena_floats) I(ring_floats) I(scratch_floats)             \
    I(max_list) I(input_count) I(output_count)

#define MM_PLAN_TENSOR(I)                                                                          \
    I(offset) I(row_stride) I(line_stride) I(channels) I(height) I(width) I(is_vector) I(ring)     \
    I(line_mask)

#define MM_PLAN_STEP(I, F, A)                                                                      \
    I(op) I(input) I(second) I(output) I(array) I(at) I(kernel_h) I(kernel_w) I(stride_h)          \
    I(stride_w) I(dilation_h) I(dilation_w) I(column_phases) I(pad_top) I(pad_left) I(groups)      \
    I(weight) I(quantized) I(weight_scale) I(bias) I(sign) F(low) F(high) I(reversed) A(axes, 0) A(axes, 1) A(axes, 2)          \
    I(plane_in) I(plane_out) I(first_table) I(second_table) I(first_constant) I(second_constant)   \
    I(pre_activation) I(activation) F(slope) I(slopes) I(scale) I(shift)

#define MM_PLAN_STAGE(I) I(first) I(count) I(band)
/* clang-format on */

#endif

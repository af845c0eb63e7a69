/* minimeso.h - the border between Python and the C engine.

   Python builds a program (flat structs: tensors, steps, one block of parameters), the engine
   checks it once and runs it any number of times.  A program is immutable while it is in use and
   may be shared by many threads; a workspace and a pool belong to one call at a time.
   The engine never allocates in a run, prints, exits, reads the environment or keeps state.

   A tensor of one image lies line by line: line y holds its C channel rows one behind the other,
   element (c, y, x) at  offset + y * line_stride + c * row_stride + x  floats.  Each row has room
   for its width rounded up to MM_LANES and is followed by zeros, MM_LANES or a multiple; as many
   lie before the first row of a line.  These zeros are the horizontal padding of convolutions:
   whoever writes a row writes them.  A channel slice of a tensor is a tensor.

   Steps run in stages.  A stage works its way down the picture in bands of lines of its last
   step; each step before it computes the lines that the band needs and no earlier band has.  What
   passes between the steps of a stage is kept in rings of a few lines, one set for each thread, so
   that it never leaves the cache; line y of a ring lies where line y & line_mask would.

   What stands between the two marks is also the cdef of the Python extension. */
#ifndef MINIMESO_H
#define MINIMESO_H

#include <stddef.h>
#include <stdint.h>

#include "activations.h"
#include "operators.h"

/* cdef begin */
#define MM_LANES 16 /* rows are padded to this many floats */
#define MM_BLOCK 4  /* output channels of a full weight block; the rest in blocks of 2 and 1 */
#define MM_SLACK 32 /* vector loads may run this far past the last element that a kernel needs */
#define MM_WINOGRAD_POINTS 8 /* lines of the input in a tile of MM_OP_WINOGRAD */

enum {
    MM_OK = 0,
    MM_E_NOMEM = -1,   /* out of memory */
    MM_E_PROGRAM = -2, /* the program contradicts itself or its buffers */
    MM_E_ISA = -3,     /* this build has no such instruction set */
    MM_E_THREADS = -4  /* the system gave no thread */
};

/* Instruction sets, slowest first. */
enum { MM_SCALAR, MM_SSE2, MM_AVX2, MM_AVX512, MM_NEON, MM_SIMD128, MM_ISA_COUNT };

/* MM_OP_INPUT_F32, ...: see operators.h; their fields are those of mm_step. */
#define MM_OP_NUMBER(NAME, ...) MM_OP_##NAME,
enum { MM_OPERATORS(MM_OP_NUMBER) MM_OP_COUNT };

/* MM_RELU, ...: see activations.h. */
#define MM_ACTIVATION_NUMBER(NAME, name) MM_##NAME,
enum { MM_NO_ACTIVATION = -1, MM_ACTIVATIONS(MM_ACTIVATION_NUMBER) MM_ACTIVATION_COUNT };

typedef struct {
    int64_t offset; /* of element (0, 0, 0) in the arena, in floats */
    int64_t row_stride, line_stride;
    int32_t channels, height, width; /* a vector: 1, 1, features */
    int32_t is_vector;
    int32_t ring;      /* number of the ring within its stage; -1: a whole tensor in the arena */
    int64_t line_mask; /* lines of the ring - 1, a power of two; -1 for a whole tensor */
} mm_tensor;

/* One step.  Offsets into the parameters (constants, tables) are in elements, -1 if absent. */
typedef struct {
    int32_t op;
    int32_t input, second, output; /* tensors; for INPUT and OUTPUT steps the caller's array too */
    int32_t array;                 /* which of the caller's arrays */
    int32_t at;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    /* INPUT, 1: the even columns of a channel become one channel of the output, and the odd ones
       the next.  CONV, 1: so they are in the input; stride_w is 2 then */
    int32_t column_phases;
    int32_t pad_top, pad_left, groups; /* what lies below and right follows from the output */
    int64_t weight; /* conv: [group][block][kernel_h][channels][kernel_w][block size]
                       winograd: [block][8][channels][kernel_w][block size], transformed
                       linear: [block of MM_LANES][features][MM_LANES] */
    /* CONV of one group and POINTWISE, whose channels are a multiple of MM_BLOCK then: the weights
       in bytes instead of floats, in the same order; each is (byte - 128) * weight_scale */
    int64_t quantized, weight_scale; /* weight_scale: per output channel */
    int64_t bias;                    /* per output channel (linear: padded to MM_LANES) */
    int64_t sign;                    /* per channel, max-pool */
    float low, high;                 /* of CLAMP; MOMENTS: low */
    int32_t reversed;                /* SUB, DIV, 1: the second tensor comes first */
    int32_t axes[3];                 /* PERMUTE: which of C, H, W each axis was before */
    int32_t plane_in, plane_out;     /* width of a line of a plane, where input (output) lies so */
    int64_t first_table, second_table;       /* indices of y and x */
    int64_t first_constant, second_constant; /* factors of y and x */
    /* epilogue: y = activation(y), then y * scale + shift, per channel (vector: per feature) */
    int32_t pre_activation; /* activation inside a max-pool */
    int32_t activation;
    float slope;
    int64_t slopes, scale, shift; /* slopes: Leaky ReLU with a slope of its own per channel */
} mm_step;

#define MM_MAX_STAGE 64 /* steps, and rings, of a stage */

typedef struct {
    int32_t first, count; /* steps */
    int32_t band;         /* lines of the last step that are made in one go */
} mm_stage;

typedef struct {
    const mm_tensor *tensors;
    const mm_step *steps;
    const mm_stage *stages;
    const float *parameters; /* shared by all programs of a model */
    const float *constants;
    const int32_t *tables;
    const uint8_t *quantized; /* as the parameters; MM_LANES behind those of a step may be read */
    int64_t tensor_count, step_count, stage_count, parameter_count, constant_count, table_count;
    int64_t quantized_count;
    int64_t arena_floats;   /* one image, with the slack that vector loads may run into */
    int64_t ring_floats;    /* rings of one thread, with the same slack */
    int64_t scratch_floats; /* one thread */
    int64_t max_list;       /* most rows, or taps, that a kernel is handed at once */
    int32_t input_count, output_count; /* arrays of the caller */
} mm_program;

/* What a step needs beside its tensors and parameters. */
typedef struct {
    int64_t scratch_floats, max_list; /* of the program, at least */
    int64_t zeros;                    /* in constants, from first_constant on */
    /* Of rows of its input: zeros before and behind them that count as padding, and how far behind
       the first element of a row vectors are loaded (the lanes beyond the row do not matter; 0 or
       less where the zeros before it reach further).  All 0: it does not look beyond rows. */
    int64_t before, behind, loads;
    int64_t tables;     /* its entries; those of all steps are no more than the program has */
    int32_t tile_lines; /* lines that it makes at once; tiles start at multiples of it */
    int32_t stride;     /* lines by which its window moves on from one line to the next; else 1 */
    int32_t is_banded;  /* whether it may share a stage: each line of its output needs a range of
                           lines of its inputs; or MM_FIRST_OF_STAGE: all of them */
} mm_needs;

#define MM_FIRST_OF_STAGE 2

typedef struct mm_pool mm_pool;

const char *mm_strerror(int code);

int mm_isa_supported(int isa); /* by the build, the CPU and the operating system */
int mm_cpu_has_sse42(void);    /* or is none of x86: NumPy wants it from 2.4 on */
const char *mm_isa_name(int isa);
const char *mm_kernel_name(int index);     /* of the table, NULL behind the last */
const char *mm_op_name(int index);         /* "CONV" of MM_OP_CONV, NULL where there is none */
const char *mm_activation_name(int index); /* "relu" of MM_RELU, NULL where there is none */
/* Whether it falls to one minimum and rises after it: it may be a pool's pre_activation. */
int mm_activation_is_valley(int index);

/* MM_OK, or MM_E_PROGRAM and the index of the step at fault. */
int mm_check(const mm_program *program, int64_t *step);

/* What a step needs; MM_E_PROGRAM where its numbers contradict its tensors.  Neither the place of
   the tensors nor the sizes of the program count yet. */
int mm_measure(const mm_program *program, int64_t step, mm_needs *needs);

/* Most bands that are looked at to size the rings of a stage; a dozen is usual, but tiles of many
   dilations without a common divisor meet no band twice in a high picture. */
#define MM_MAX_DIFFERENT_BANDS 256

/* ring_lines[r], r < stage->count: the lines of ring r that one band of a stage may need at once.
   Of the tensors only shapes and ring numbers count.  MM_E_PROGRAM: its bands differ too much, or
   need lines further away than a picture can be high. */
int mm_measure_stage(const mm_program *program, const mm_stage *stage, int64_t *ring_lines);

/* Another number where plan files (plan_file.h) have other fields, operators or activations. */
uint32_t mm_plan_version(void);

/* A pool of `threads` threads, the caller's among them.  Not for use across fork. */
int mm_pool_new(int threads, mm_pool **pool);
void mm_pool_free(mm_pool *pool);

/* Bytes of workspace for `threads` threads on so many images at a time; 0: more than size_t. */
size_t mm_workspace_bytes(const mm_program *program, int threads, int images_at_once);

/* Run a checked program on `batch` images, with a supported instruction set.  workspace: 64-byte
   aligned, of at least mm_workspace_bytes(program, pool's threads, images_at_once), contents
   arbitrary.  nanoseconds: NULL, or [threads][step_count] to which the time that each thread spends
   in each step is added. */
int mm_run(const mm_program *program, int isa, mm_pool *pool, const void *const *inputs,
           float *const *outputs, int64_t batch, void *workspace, int images_at_once,
           int64_t *nanoseconds);

/* Pages that lie wholly in this memory go back to the system, which may fill them anew, where it
   knows how (Linux); contents are arbitrary then. */
void mm_give_back(void *memory, size_t bytes);

/* y[i] = activation(x[i]) for i < n, any n, x == y allowed; isa as for mm_run. */
int mm_activate(int isa, int activation, float slope, const float *x, float *y, size_t n);

enum { MM_FILTER_NEAREST, MM_FILTER_BILINEAR, MM_FILTER_BICUBIC_2X };

/* A box of a picture, and the size that it is to get. */
typedef struct {
    const uint8_t *pixels; /* RGB; line y begins at pixels + y * line_bytes */
    int64_t height, width, line_bytes;
    float left, top, right, bottom; /* edges in pixels, 0 <= left < right <= width */
    int64_t out_height, out_width;
    int32_t filter;  /* MM_FILTER_.. */
    int32_t rounded; /* to whole levels of 255, as in a picture of bytes */
} mm_crop;

/* Bytes of workspace for a crop; 0: its box or a size is impossible, or more than size_t. */
size_t mm_resize_bytes(const mm_crop *crop);

/* The box as (3, out_height, out_width) float32 from 0 to 1; isa as for mm_run.  Nothing is written
   between the lines, which lie `line` floats apart, and `plane` those of the next channel.
   workspace: 64-byte aligned, of at least mm_resize_bytes(crop), contents arbitrary. */
int mm_resize(int isa, const mm_crop *crop, float *out, int64_t plane, int64_t line,
              void *workspace);

/* Doubles whose bits are the same on every machine, see exact.c. */
double mm_exp(double x);
double mm_log(double x);
double mm_expm1(double x);
double mm_log1p(double x);
/* The sum of x[i] * y[i] for i < n. */
double mm_dot(const double *x, const double *y, size_t n);

enum { MM_EACH_EXP, MM_EACH_SIGMOID, MM_EACH_LOGIT };

/* y[i] = exp(x[i]), 1 / (1 + exp(-x[i])) or log(x[i] / (1 - x[i])) for i < n, x == y allowed. */
int mm_each(int function, const double *x, double *y, size_t n);
/* cdef end */

#endif

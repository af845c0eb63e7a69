/* fuzz_programs.c - "a program that passes mm_check touches no memory but its own", by experiment.

   Draws programs that are right, changes most of them, and runs every one that mm_check lets
   through, with all of its memory allocated to the element, so that a build with AddressSanitizer
   sees each step beyond.  On every instruction set a program runs first with arena, scratch and
   rows in allocations of their own (program.c is included for that: inside one workspace they are
   neighbours), then through mm_run.  What an unchanged program gives back must not depend on
   threads, images at once or instruction set.

   fuzz_programs [count [first [plain | verbose]]]
       programs first .. first + count - 1; plain: no changes, as ThreadSanitizer wants it (a
       changed program may write where it reads); verbose: the number of each before it runs. */
#include "program.c"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_TENSORS 32
#define MAX_STEPS 24
#define MAX_TABLE 512
#define MAX_ARRAYS 24
#define MAX_FLOATS (1 << 18) /* of any one block that a program may ask for */
#define MAX_WORK 3e5 /* multiplications of one image: a changed program may loop for hours */
#define POOLS 3

/* A program while it is drawn; what has been allocated follows from it later. */
typedef struct {
    mm_program p;
    mm_tensor tensors[MAX_TENSORS];
    mm_step steps[MAX_STEPS];
    mm_stage stages[MAX_STEPS];
    int32_t tables[MAX_TABLE];
    int64_t chain, chain_count; /* steps that share a stage */
} draft_t;

static uint64_t state;
static mm_pool *pools[POOLS];
static long made[MM_OP_COUNT], passed[MM_OP_COUNT], ran[MM_OP_COUNT];
static long current; /* number of the program */
static long changed_passed, changed_refused, plain_refused, too_large, differences, backwards;
static long shortened;

static uint32_t random_bits(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static int32_t below(int32_t n) { return (int32_t)(random_bits() % (uint32_t)n); }
static int32_t between(int32_t low, int32_t high) { return low + below(high - low + 1); }
static int one_in(int32_t n) { return below(n) == 0; }

static void *exactly(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p && bytes)
        exit(2);
    return p;
}

static void fill(void *p, size_t bytes) /* any bit pattern */
{
    unsigned char *bytes_of = p;
    for (size_t i = 0; i < bytes; i++)
        bytes_of[i] = (unsigned char)random_bits();
}

static float *random_floats(int64_t count)
{
    float *p = exactly((size_t)count * sizeof *p);
    for (int64_t i = 0; i < count; i++)
        p[i] = (float)between(-64, 64) / 32.0f;
    return p;
}

/* --- programs that are right ------------------------------------------------------------ */

static int32_t new_tensor(draft_t *d, int32_t channels, int32_t height, int32_t width, int vector)
{
    mm_tensor *t = &d->tensors[d->p.tensor_count];
    int32_t row_padding = MM_LANES * (one_in(3) ? between(1, 3) : 1);
    *t = (mm_tensor){.row_stride = mm_round_lanes(width) + row_padding,
                     .channels = channels,
                     .height = height,
                     .width = width,
                     .is_vector = vector,
                     .ring = -1,
                     .line_mask = -1};
    t->line_stride = row_padding + channels * t->row_stride + (one_in(4) ? below(50) : 0);
    return (int32_t)d->p.tensor_count++;
}

/* Shapes are drawn one number after the other: compilers differ in the order of arguments. */
static int32_t new_vector(draft_t *d, int32_t most)
{
    return new_tensor(d, 1, 1, between(1, most), 1);
}
static int32_t new_map(draft_t *d, int32_t channels)
{
    int32_t height = between(1, 9), width = between(1, 40);
    return new_tensor(d, channels, height, width, 0);
}

static int32_t like(draft_t *d, int32_t tensor)
{
    const mm_tensor *t = &d->tensors[tensor];
    return new_tensor(d, t->channels, t->height, t->width, t->is_vector);
}

static int64_t new_parameters(draft_t *d, int64_t count)
{
    d->p.parameter_count += count;
    return d->p.parameter_count - count;
}
static int64_t new_constants(draft_t *d, int64_t count)
{
    d->p.constant_count += mm_round_lanes(count);
    return d->p.constant_count - mm_round_lanes(count);
}
static int64_t new_table(draft_t *d, int32_t count, int32_t size)
{
    for (int32_t i = 0; i < count; i++)
        d->tables[d->p.table_count++] = below(size);
    return d->p.table_count - count;
}

static mm_step *new_step(draft_t *d, int32_t op, int32_t input, int32_t output)
{
    mm_step *s = &d->steps[d->p.step_count++];
    *s = (mm_step){.op = op,
                   .input = input,
                   .second = -1,
                   .output = output,
                   .weight = -1,
                   .bias = -1,
                   .sign = -1,
                   .first_table = -1,
                   .second_table = -1,
                   .first_constant = -1,
                   .second_constant = -1,
                   .activation = MM_NO_ACTIVATION,
                   .pre_activation = MM_NO_ACTIVATION,
                   .slopes = -1,
                   .scale = -1,
                   .shift = -1};
    if (output < 0 || one_in(2))
        return s;
    const mm_tensor *t = &d->tensors[output];
    int64_t count = t->is_vector ? mm_round_lanes(t->width) : t->channels;
    s->activation = between(MM_NO_ACTIVATION, MM_ACTIVATION_COUNT - 1);
    s->slope = 0.25f;
    if (one_in(3))
        s->slopes = new_parameters(d, count);
    if (one_in(3)) {
        s->scale = new_parameters(d, count);
        s->shift = new_parameters(d, count);
    }
    return s;
}

static int32_t new_input(draft_t *d, int32_t op, int32_t tensor)
{
    mm_step *s = new_step(d, op, -1, tensor);
    s->array = d->p.input_count++;
    s->column_phases = d->tensors[tensor].channels % 2 == 0 && one_in(2);
    return tensor;
}

/* A tensor that some step has written: an older one, or a new input.  vector: 1, 0, or -1: any */
static int32_t source(draft_t *d, int vector)
{
    int32_t start = d->p.tensor_count ? below((int32_t)d->p.tensor_count) : 0;
    for (int32_t i = start; i < d->p.tensor_count && !one_in(3); i++)
        if (d->tensors[i].ring < 0 && (vector < 0 || d->tensors[i].is_vector == vector))
            return i;
    int32_t op = one_in(3) ? MM_OP_INPUT_U8 : MM_OP_INPUT_F32;
    if (vector < 0)
        vector = one_in(4);
    return new_input(d, op, vector ? new_vector(d, 50) : new_map(d, between(1, 7)));
}

static void draw_copy(draft_t *d)
{
    int32_t in = source(d, -1), at = 0, out;
    mm_tensor t = d->tensors[in];
    if (one_in(2)) {
        out = like(d, in);
    } else { /* a part of a concatenation */
        at = below(4);
        out = t.is_vector ? new_tensor(d, 1, 1, t.width + at + below(4), 1)
                          : new_tensor(d, t.channels + at + below(3), t.height, t.width, 0);
        new_step(d, MM_OP_ZERO, -1, out);
    }
    new_step(d, MM_OP_COPY, in, out)->at = at;
}

static void need_scratch(draft_t *d, int64_t floats)
{
    if (d->p.scratch_floats < floats)
        d->p.scratch_floats = floats;
}

static void need_list(draft_t *d, int64_t length)
{
    if (d->p.max_list < length)
        d->p.max_list = length;
}

/* What the engine says that the last step needs. */
static void measure(draft_t *d)
{
    mm_program p = d->p;
    mm_needs needs;
    p.tensors = d->tensors;
    p.steps = d->steps;
    if (mm_measure(&p, p.step_count - 1, &needs) != MM_OK)
        exit(2);
    need_scratch(d, needs.scratch_floats);
    need_list(d, needs.max_list);
    if (needs.zeros)
        d->steps[p.step_count - 1].first_constant = new_constants(d, needs.zeros);
}

static void draw_winograd(draft_t *d, int32_t in)
{
    mm_tensor t = d->tensors[in];
    int32_t kernel_w = between(1, 5), pad_left = below(5);
    int32_t width = pad_left + t.width + below(5) - kernel_w + 1;
    if (width < 1) {
        kernel_w = 1;
        width = t.width;
    }
    int32_t height = between(1, 12), filters = between(1, 7);
    mm_step *s = new_step(d, MM_OP_WINOGRAD, in, new_tensor(d, filters, height, width, 0));
    s->kernel_h = 3 + 2 * below(3), s->kernel_w = kernel_w;
    s->stride_h = s->stride_w = s->dilation_w = s->groups = 1;
    s->dilation_h = between(1, 3);
    s->pad_top = below(4), s->pad_left = pad_left;
    s->weight = new_parameters(d, MM_WINOGRAD_POINTS * filters * t.channels * kernel_w);
    s->bias = new_parameters(d, filters);
    measure(d);
}

static void draw_depthwise(draft_t *d, int32_t in)
{
    mm_tensor t = d->tensors[in];
    int32_t pool = between(1, 2), pad_left = below(4), height = between(1, 12);
    int32_t width = (pad_left + t.width + below(4) - 2) / pool;
    if (width < 1) {
        pad_left += 3;
        width = 1;
    }
    mm_step *s = new_step(d, MM_OP_DEPTHWISE, in, new_tensor(d, t.channels, height, width, 0));
    s->kernel_h = s->kernel_w = 2 + pool;
    s->stride_h = s->stride_w = pool;
    s->dilation_h = s->dilation_w = s->groups = 1;
    s->pad_top = below(4), s->pad_left = pad_left;
    s->weight = new_parameters(d, 9 * t.channels);
    s->bias = new_parameters(d, t.channels);
    measure(d);
}

static int random_valley(void)
{
#define VALLEY(NAME, name) MM_##NAME,
    static const int some[] = {MM_VALLEY_ACTIVATIONS(VALLEY) MM_NO_ACTIVATION};
#undef VALLEY
    return some[below(sizeof some / sizeof *some)];
}

static void draw_window(draft_t *d, int32_t op, int32_t in)
{
    int32_t row_padding = (int32_t)mm_row_padding(&d->tensors[in]);
    mm_tensor t = d->tensors[in];
    int32_t kernel_h = between(1, 4), kernel_w = between(1, 5), dilation_h = between(1, 3);
    int32_t dilation_w = between(1, 3), stride_h = between(1, 3);
    int32_t stride_w = one_in(4) ? between(1, 40) : between(1, 4);
    int32_t pad_top = below(4), pad_left = one_in(4) && op == MM_OP_CONV ? row_padding : below(5);
    int32_t left = pad_left + t.width + below(op == MM_OP_CONV ? row_padding + 1 : 5) -
                   (kernel_w - 1) * dilation_w - 1;
    int32_t width = left < 0 ? 0 : left / stride_w + 1;
    int is_plain = 0;
    int32_t height = one_in(8) ? between(1, 12) : (t.height + 2 * pad_top - 1) / stride_h + 1;
    if (width < 1) { /* the window of one element fits always */
        kernel_w = 1;
        width = (pad_left + t.width - 1) / stride_w + 1;
    }
    if (op == MM_OP_MAX_POOL && one_in(2) && t.width > 3 && t.height > 3) { /* the usual pool */
        kernel_h = kernel_w = stride_w = one_in(2) ? 4 : 2;
        dilation_h = dilation_w = 1;
        pad_top = pad_left = 0;
        width = t.width / kernel_w;
        height = (t.height - kernel_h) / stride_h + 1;
        is_plain = kernel_h <= t.height && width > 0;
    }
    int32_t groups = op == MM_OP_CONV && t.channels % 2 == 0 && one_in(2) ? 2 : 1;
    int split = groups == 2 && one_in(2); /* its columns are twice as many: the padding is enough */
    if (split) {
        groups = 1;
        stride_w = 2;
        width = (pad_left + 2 * t.width - (kernel_w - 1) * dilation_w - 1) / 2 + 1;
        if (width < 1) {
            kernel_w = 1;
            width = t.width;
        }
    }
    int32_t filters = op == MM_OP_CONV ? groups * between(1, 7) : t.channels;
    mm_step *s = new_step(d, op, in, new_tensor(d, filters, height, width, 0));
    s->kernel_h = kernel_h, s->kernel_w = kernel_w;
    s->stride_h = stride_h, s->stride_w = stride_w;
    s->dilation_h = dilation_h, s->dilation_w = dilation_w;
    s->pad_top = pad_top, s->pad_left = pad_left;
    s->groups = groups;
    s->column_phases = split;
    measure(d);
    if (op == MM_OP_CONV) {
        s->weight = new_parameters(d, filters * (t.channels / groups) * kernel_h * kernel_w);
        s->bias = new_parameters(d, filters);
        return;
    }
    if (op == MM_OP_MAX_POOL && one_in(2))
        s->sign = new_parameters(d, t.channels);
    if (is_plain && one_in(2))
        s->pre_activation = random_valley();
    if (op == MM_OP_AVG_POOL) {
        s->first_constant = new_constants(d, height);
        s->second_constant = new_constants(d, width);
    }
}

static void draw_binary(draft_t *d, int32_t op)
{
    int32_t in = source(d, -1), second = in;
    mm_tensor t = d->tensors[in];
    if (!t.is_vector && one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, new_tensor(d, t.channels, 1, 1, 0));
    else if (one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, like(d, in));
    else if (op == MM_OP_ADD && t.height % 2 == 0 && t.width % 2 == 0)
        second =
            new_input(d, MM_OP_INPUT_F32, new_tensor(d, t.channels, t.height / 2, t.width / 2, 0));
    new_step(d, op, in, like(d, in))->second = second;
}

static void draw_softmax(draft_t *d)
{
    int32_t in = source(d, -1);
    new_step(d, MM_OP_SOFTMAX, in, like(d, in));
    measure(d);
}

static void draw_resize(draft_t *d, int32_t op)
{
    int32_t in = source(d, 0), each = op == MM_OP_BILINEAR ? 2 : 1;
    mm_tensor t = d->tensors[in];
    int32_t height = between(1, 9), width = between(1, 35);
    mm_step *s = new_step(d, op, in, new_tensor(d, t.channels, height, width, 0));
    s->first_table = new_table(d, each * height, t.height);
    s->second_table = new_table(d, each * width, t.width);
    if (each == 2) {
        s->first_constant = new_constants(d, height);
        s->second_constant = new_constants(d, width);
    }
}

static void draw_windowed(draft_t *d, int32_t op, int32_t in)
{
    if (op == MM_OP_WINOGRAD)
        draw_winograd(d, in);
    else if (op == MM_OP_DEPTHWISE)
        draw_depthwise(d, in);
    else
        draw_window(d, op, in);
}

/* Two to four steps of one stage, the last of them `op`; what passes between is a ring. */
static void draw_chain(draft_t *d, int32_t op)
{
    static const int32_t before[] = {MM_OP_CONV, MM_OP_WINOGRAD, MM_OP_DEPTHWISE, MM_OP_MAX_POOL,
                                     MM_OP_AVG_POOL};
    int32_t in = source(d, 0), count = between(1, 3);
    d->chain = d->p.step_count;
    d->chain_count = count + 1;
    for (int32_t i = 0; i < count; i++) {
        draw_windowed(d, before[below(5)], in);
        in = (int32_t)d->p.tensor_count - 1;
        d->tensors[in].ring = i;
        d->tensors[in].line_mask = 63; /* higher than any map here: no line is lost */
    }
    draw_windowed(d, op, in);
}

static void draw_step(draft_t *d, int32_t op)
{
    int32_t in;
    mm_step *s;
    switch (op) {
    case MM_OP_INPUT_F32:
    case MM_OP_INPUT_U8:
        new_input(d, op, one_in(4) ? new_vector(d, 40) : new_map(d, between(1, 4)));
        return;
    case MM_OP_OUTPUT:
        new_step(d, op, source(d, -1), -1)->array = d->p.output_count;
        d->p.output_count++;
        return;
    case MM_OP_COPY:
        draw_copy(d);
        return;
    case MM_OP_ZERO:
        new_step(d, op, -1, new_map(d, between(1, 4)));
        return;
    case MM_OP_CONV:
    case MM_OP_WINOGRAD:
    case MM_OP_DEPTHWISE:
    case MM_OP_MAX_POOL:
    case MM_OP_AVG_POOL:
        if (!d->chain_count && one_in(2))
            draw_chain(d, op);
        else
            draw_windowed(d, op, source(d, 0));
        return;
    case MM_OP_LINEAR:
        in = source(d, 1);
        s = new_step(d, op, in, new_vector(d, 40));
        s->weight =
            new_parameters(d, mm_round_lanes(d->tensors[s->output].width) * d->tensors[in].width);
        s->bias = new_parameters(d, mm_round_lanes(d->tensors[s->output].width));
        return;
    case MM_OP_GLOBAL_AVG_POOL:
        in = source(d, 0);
        new_step(d, op, in, new_tensor(d, d->tensors[in].channels, 1, 1, 0));
        return;
    case MM_OP_ADD:
    case MM_OP_MUL:
        draw_binary(d, op);
        return;
    case MM_OP_FLATTEN:
        in = source(d, -1);
        new_step(d, op, in,
                 new_tensor(d, 1, 1,
                            d->tensors[in].channels * d->tensors[in].height * d->tensors[in].width,
                            1));
        return;
    case MM_OP_SOFTMAX:
        draw_softmax(d);
        return;
    case MM_OP_NEAREST:
    case MM_OP_BILINEAR:
        draw_resize(d, op);
        return;
    default:
        printf("%s: nobody here draws it\n", mm_op_name(op));
        exit(2);
    }
}

/* The chain in one stage, every other step in its own. */
static void make_stages(draft_t *d)
{
    d->p.stage_count = 0;
    for (int64_t i = 0; i < d->p.step_count;) {
        int64_t count = d->chain_count && i == d->chain ? d->chain_count : 1;
        int64_t tile_lines = mm_tile_lines(&d->steps[i + count - 1]);
        d->stages[d->p.stage_count++] = (mm_stage){.first = (int32_t)i,
                                                   .count = (int32_t)count,
                                                   .band = (int32_t)(tile_lines * between(1, 3))};
        i += count;
    }
}

/* Lay the tensors behind one another, in any order, into the smallest arena. */
static void place(draft_t *d)
{
    mm_program *p = &d->p;
    int32_t order[MAX_TENSORS];
    int64_t end = 0, rings = 0;
    for (int32_t i = 0; i < p->tensor_count; i++) {
        int32_t j = below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int32_t i = 0; i < p->tensor_count; i++) {
        mm_tensor *t = &d->tensors[order[i]];
        int64_t *next = t->ring < 0 ? &end : &rings;
        t->offset = *next + mm_row_padding(t);
        *next += t->height * t->line_stride;
        *(t->ring < 0 ? &p->arena_floats : &p->ring_floats) =
            t->offset + (t->height - 1) * t->line_stride + t->channels * t->row_stride + MM_SLACK;
    }
    make_stages(d);
}

/* Room for the last vector that a convolution loads. */
static void add_reach(draft_t *d)
{
    for (int64_t i = 0; i < d->p.step_count; i++) {
        const mm_step *s = &d->steps[i];
        if (s->op != MM_OP_CONV && s->op != MM_OP_WINOGRAD && s->op != MM_OP_DEPTHWISE)
            continue;
        int64_t *floats = d->tensors[s->input].ring < 0 ? &d->p.arena_floats : &d->p.ring_floats;
        const mm_tensor *in = &d->tensors[s->input], *out = &d->tensors[s->output];
        int64_t end = in->offset + (in->height - 1) * in->line_stride +
                      (in->channels - 1) * in->row_stride - s->pad_left +
                      mm_round_lanes(out->width) * s->stride_w + (s->kernel_w - 1) * s->dilation_w +
                      MM_SLACK;
        *floats = end > *floats ? end : *floats;
    }
}

/* Returns the step of `op`; another may stand before it, or an output behind. */
static mm_step *draw(draft_t *d, int32_t op)
{
    *d = (draft_t){.p = {.max_list = below(2)}};
    if (one_in(3))
        draw_step(d, below(MM_OP_COUNT));
    draw_step(d, op);
    mm_step *focus = &d->steps[d->p.step_count - 1];
    if (one_in(4))
        draw_step(d, below(MM_OP_COUNT));
    new_step(d, MM_OP_OUTPUT, (int32_t)d->p.tensor_count - 1, -1)->array = d->p.output_count;
    d->p.output_count++;
    return focus;
}

/* --- programs that are wrong, or nearly ------------------------------------------------- */

static uint64_t other_value(uint64_t old)
{
    static const int64_t boundaries[] = {-1,
                                         0,
                                         1,
                                         2,
                                         3,
                                         15,
                                         16,
                                         17,
                                         31,
                                         32,
                                         33,
                                         (1 << 21) - 1,
                                         1 << 21,
                                         (1 << 21) + 1,
                                         (1 << 22) + 16,
                                         INT32_MIN,
                                         INT32_MAX,
                                         (int64_t)INT32_MAX + 1,
                                         INT64_MIN,
                                         INT64_MAX,
                                         INT64_MAX / 4,
                                         INT64_MAX / 8,
                                         INT64_MIN + 15,
                                         INT64_MAX - 15};
    switch (below(8)) {
    case 0:
        return (uint64_t)boundaries[below((int32_t)(sizeof boundaries / sizeof *boundaries))];
    case 1:
    case 2:
        return old + (uint64_t)between(1, 3);
    case 3:
        return old - (uint64_t)between(1, 3);
    case 4:
        return old + (uint64_t)(between(-4, 4) * MM_LANES);
    case 5:
        return one_in(2) ? old * 2 : old / 2;
    case 6:
        return (uint64_t)below(64);
    default:
        return one_in(4) ? (uint64_t)random_bits() * random_bits() : 0 - old;
    }
}
static void change32(int32_t *p)
{
    uint32_t bits = (uint32_t)other_value((uint64_t)*p);
    memcpy(p, &bits, sizeof bits);
}
static void change64(int64_t *p)
{
    uint64_t bits = other_value((uint64_t)*p);
    memcpy(p, &bits, sizeof bits);
}

/* An offset into a block of `count`: most often so that what is wanted there just fits or not. */
static void change_offset(int64_t *p, int64_t count)
{
    if (one_in(4))
        change64(p);
    else
        *p = count - below(one_in(2) ? 70 : 9);
}

static void change_tensor(draft_t *d, mm_tensor *t)
{
    int64_t *const layout[] = {&t->offset, &t->row_stride, &t->line_stride};
    int32_t *const shape[] = {&t->channels, &t->height, &t->width, &t->is_vector, &t->ring};
    switch (below(5)) {
    case 4:
        t->line_mask = one_in(2) ? (1 << below(7)) - 1 : (int64_t)other_value(7);
        break;
    case 0:
        change64(layout[below(3)]);
        break;
    case 1:
        change32(shape[below(5)]);
        break;
    case 2: /* into another */
        t->offset = d->tensors[below((int32_t)d->p.tensor_count)].offset;
        t->offset += one_in(2) ? between(-80, 80) : 0;
        break;
    default:
        *t = d->tensors[below((int32_t)d->p.tensor_count)];
    }
}

/* Another tensor for a step: of the shape of the old one but for one number; or any other. */
static void change_operand(draft_t *d, int32_t *tensor)
{
    if (*tensor < 0 || *tensor >= d->p.tensor_count || d->p.tensor_count == MAX_TENSORS ||
        one_in(3)) {
        if (one_in(2))
            *tensor = below((int32_t)d->p.tensor_count + 1);
        else
            change32(tensor);
        return;
    }
    mm_tensor t = d->tensors[*tensor];
    int32_t *const shape[] = {&t.channels, &t.height, &t.width};
    int32_t *number = shape[t.is_vector ? 2 : below(3)];
    *number = one_in(2) ? *number + between(-3, 3) : one_in(3) ? between(1, 150) : between(1, 9);
    if (*number < 1)
        *number = 1;
    if (one_in(6))
        t.is_vector = !t.is_vector;
    if (t.is_vector && !one_in(8))
        t.channels = t.height = 1;
    *tensor = new_tensor(d, t.channels, t.height, t.width, t.is_vector);
}

static void change_window(mm_step *s)
{
    int32_t *const fields[] = {&s->kernel_h, &s->kernel_w,   &s->stride_h,
                               &s->stride_w, &s->dilation_h, &s->dilation_w,
                               &s->pad_top,  &s->pad_left,   &s->groups};
    int32_t *field = fields[below(9)];
    if (one_in(4))
        change32(field);
    else
        *field = one_in(2) ? (int32_t)((uint32_t)*field + (uint32_t)between(1, 3)) : below(60);
}

static void change_step(draft_t *d, mm_step *s)
{
    mm_program *p = &d->p;
    int64_t *const in_parameters[] = {&s->weight, &s->bias,  &s->sign,
                                      &s->slopes, &s->scale, &s->shift};
    int32_t *const numbers[] = {&s->op, &s->array, &s->activation, &s->pre_activation,
                                &s->column_phases};
    int windowed = s->op >= 0 && s->op < MM_OP_COUNT && mm_is_windowed(s->op);
    switch (below(windowed ? 12 : 7)) {
    case 0:
        change_operand(d, &s->output);
        break;
    case 1:
        change_operand(d, one_in(2) && s->second >= 0 ? &s->second : &s->input);
        break;
    case 2:
        change_offset(in_parameters[below(6)], p->parameter_count);
        break;
    case 3:
        change_offset(one_in(2) ? &s->first_constant : &s->second_constant, p->constant_count);
        break;
    case 4:
        change_offset(one_in(2) ? &s->first_table : &s->second_table, p->table_count);
        break;
    case 5:
        change32(numbers[below(5)]);
        break;
    default:
        if (windowed)
            change_window(s);
        else if (one_in(3))
            change32(&s->at);
        else
            s->at = (int32_t)((uint32_t)s->at + (uint32_t)between(-4, 150));
    }
}

static void change_sizes(mm_program *p)
{
    int64_t *const sizes[] = {&p->parameter_count, &p->constant_count, &p->table_count,
                              &p->arena_floats,    &p->scratch_floats, &p->max_list,
                              &p->ring_floats,     &p->tensor_count,   &p->step_count,
                              &p->stage_count};
    int64_t *size = sizes[one_in(4) ? below(10) : below(7)];
    if (one_in(8))
        change32(one_in(2) ? &p->input_count : &p->output_count);
    else if (one_in(3))
        change64(size);
    else
        *size -= below(one_in(2) ? 3 : 40);
}

/* What was drawn stays within its room: counts of it may only shrink. */
static void change(draft_t *d, mm_step *focus)
{
    for (int32_t left = one_in(3) ? 2 : 1; left > 0; left--)
        change_step(d, one_in(6) ? &d->steps[below((int32_t)d->p.step_count)] : focus);
    place(d);
    mm_program old = d->p;
    if (one_in(3))
        change_tensor(d, &d->tensors[below((int32_t)old.tensor_count)]);
    if (one_in(3))
        change_sizes(&d->p);
    if (one_in(8)) {
        mm_stage *stage = &d->stages[below((int32_t)old.stage_count)];
        change32(one_in(3) ? &stage->first : one_in(2) ? &stage->count : &stage->band);
    }
    if (d->p.stage_count > old.stage_count)
        d->p.stage_count = old.stage_count;
    if (old.table_count && one_in(12))
        change32(&d->tables[below((int32_t)old.table_count)]);
    if (d->p.tensor_count > old.tensor_count)
        d->p.tensor_count = old.tensor_count;
    if (d->p.step_count > old.step_count)
        d->p.step_count = old.step_count;
    if (d->p.table_count > old.table_count)
        d->p.table_count = old.table_count;
}

/* --- running ---------------------------------------------------------------------------- */

/* The caller's arrays of one batch, each as large as the largest step that uses it wants. */
typedef struct {
    void *inputs[MAX_ARRAYS];
    float *outputs[MAX_ARRAYS];
    size_t output_bytes[MAX_ARRAYS];
} arrays_t;

static double elements(const mm_tensor *t) { return (double)t->channels * t->height * t->width; }

static double work(const mm_program *p)
{
    double sum = 0.0;
    for (int64_t i = 0; i < p->step_count; i++) {
        const mm_step *s = &p->steps[i];
        const mm_tensor *in =
            &p->tensors[s->input >= 0 && s->input < p->tensor_count ? s->input : 0];
        const mm_tensor *out = &p->tensors[s->op == MM_OP_OUTPUT ? s->input : s->output];
        double each = 1.0;
        if (s->op == MM_OP_CONV || s->op == MM_OP_WINOGRAD)
            each = (double)in->channels / s->groups * s->kernel_h * s->kernel_w;
        else if (s->op == MM_OP_DEPTHWISE)
            each = 36.0;
        else if (s->op == MM_OP_MAX_POOL || s->op == MM_OP_AVG_POOL)
            each = (double)s->kernel_w + (double)s->kernel_h * in->width;
        else if (s->op == MM_OP_LINEAR || s->op == MM_OP_GLOBAL_AVG_POOL)
            each = elements(in);
        if (s->op == MM_OP_WINOGRAD)
            each += 8.0 * in->width;
        sum += (elements(out) + MM_LANES) * each + (double)out->height * (double)s->stride_w;
    }
    return sum;
}

static int small_enough(const mm_program *p)
{
    if (p->parameter_count > MAX_FLOATS || p->constant_count > MAX_FLOATS ||
        p->arena_floats > MAX_FLOATS || p->scratch_floats > MAX_FLOATS ||
        p->ring_floats > MAX_FLOATS || p->max_list > MAX_FLOATS || p->input_count > MAX_ARRAYS ||
        p->output_count > MAX_ARRAYS)
        return 0;
    return work(p) <= MAX_WORK;
}

static void make_arrays(arrays_t *a, const mm_program *p, int64_t batch)
{
    size_t input_bytes[MAX_ARRAYS] = {0};
    int pictures[MAX_ARRAYS] = {0};
    *a = (arrays_t){{NULL}, {NULL}, {0}};
    for (int64_t i = 0; i < p->step_count; i++) {
        const mm_step *s = &p->steps[i];
        if (s->op > MM_OP_OUTPUT)
            continue;
        int out = s->op == MM_OP_OUTPUT;
        const mm_tensor *t = &p->tensors[out ? s->input : s->output];
        size_t bytes = (size_t)batch * (size_t)elements(t) * (s->op == MM_OP_INPUT_U8 ? 1 : 4);
        size_t *most = &(out ? a->output_bytes : input_bytes)[s->array];
        *most = bytes > *most ? bytes : *most;
        pictures[s->array] |= s->op == MM_OP_INPUT_U8;
    }
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (pictures[i] && input_bytes[i])
            fill(a->inputs[i] = exactly(input_bytes[i]), input_bytes[i]);
        else if (input_bytes[i])
            a->inputs[i] = random_floats((int64_t)(input_bytes[i] / sizeof(float)));
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (a->output_bytes[i])
            a->outputs[i] = exactly(a->output_bytes[i]);
}

static void free_arrays(arrays_t *a)
{
    for (int i = 0; i < MAX_ARRAYS; i++) {
        free(a->inputs[i]);
        free(a->outputs[i]);
    }
}

/* Of all outputs, bit by bit; all NaN count as one. */
static uint64_t digest(const arrays_t *a)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < MAX_ARRAYS; i++)
        for (size_t k = 0; k < a->output_bytes[i] / 4; k++) {
            uint32_t bits = 0x7fc00000u;
            if (a->outputs[i][k] == a->outputs[i][k])
                memcpy(&bits, &a->outputs[i][k], 4);
            h = (h ^ bits) * 1099511628211u;
        }
    return h;
}

/* Arena, scratch and rows apart from one another; lines in parts, as threads would take them. */
static void run_apart(const mm_program *p, int isa, arrays_t *a, int64_t batch)
{
    size_t arena_bytes = (size_t)p->arena_floats * sizeof(float);
    size_t scratch_bytes = (size_t)p->scratch_floats * sizeof(float);
    size_t ring_bytes = (size_t)p->ring_floats * sizeof(float);
    mm_worker worker = {.program = p,
                        .kernels = mm_kernels_of(isa),
                        .inputs = (const void *const *)a->inputs,
                        .outputs = a->outputs,
                        .arena = exactly(arena_bytes),
                        .rings = exactly(ring_bytes),
                        .scratch = exactly(scratch_bytes),
                        .rows = exactly((size_t)p->max_list * sizeof *worker.rows)};
    fill(worker.rings, ring_bytes < 4096 ? ring_bytes : 4096);
    fill(worker.arena, arena_bytes < 4096 ? arena_bytes : 4096);
    fill(worker.scratch, scratch_bytes < 4096 ? scratch_bytes : 4096);
    int64_t parts = between(1, 3);
    for (worker.image = 0; worker.image < batch; worker.image++)
        for (int64_t i = 0; i < p->stage_count; i++)
            for (int64_t part = 0; part < parts; part++)
                run_stage(&worker, &p->stages[i], part, parts);
    free(worker.arena);
    free(worker.rings);
    free(worker.scratch);
    free((void *)worker.rows);
}

static void run_pool(const mm_program *p, int isa, int threads, int images_at_once, arrays_t *a,
                     int64_t batch)
{
    size_t bytes = mm_workspace_bytes(p, threads, images_at_once);
    if (!bytes)
        return;
    size_t timers = (size_t)(threads * p->step_count);
    int64_t *nanoseconds = one_in(2) ? exactly(timers * sizeof *nanoseconds) : NULL;
    for (size_t i = 0; nanoseconds && i < timers; i++)
        nanoseconds[i] = 0;
    void *workspace = aligned_alloc(64, bytes);
    if (!workspace || mm_run(p, isa, pools[threads - 1], (const void *const *)a->inputs, a->outputs,
                             batch, workspace, images_at_once, nanoseconds) != MM_OK)
        exit(2);
    for (size_t i = 0; nanoseconds && i < timers; i++)
        backwards += nanoseconds[i] < 0;
    free(nanoseconds);
    free(workspace);
}

/* One run; an unchanged program must give the same bits as before, all outputs taken together. */
static void run_once(const mm_program *p, int isa, int threads, int images_at_once, arrays_t *a,
                     int64_t batch, uint64_t *wanted)
{
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (a->outputs[i])
            memset(a->outputs[i], 0, a->output_bytes[i]);
    if (threads)
        run_pool(p, isa, threads, images_at_once, a, batch);
    else
        run_apart(p, isa, a, batch);
    if (!wanted)
        return;
    uint64_t got = digest(a);
    if (*wanted && got != *wanted) {
        printf("program %ld, %s, %d threads, %d images at once: other bits\n", current,
               mm_isa_name(isa), threads, images_at_once);
        differences++;
    }
    *wanted = got;
}

static void run_program(const mm_program *p, int plain)
{
    uint64_t wanted[2] = {0, 0}; /* without fused multiply-add and with */
    int64_t batch = one_in(16) ? 0 : between(1, 4);
    arrays_t a;
    make_arrays(&a, p, batch);
    for (int isa = 0; isa < MM_ISA_COUNT; isa++) {
        if (!mm_isa_supported(isa))
            continue;
        uint64_t *same = plain ? &wanted[isa != MM_SCALAR && isa != MM_SSE2] : NULL;
        run_once(p, isa, 0, 0, &a, batch, same);
        if (!plain)
            run_once(p, isa, between(1, 2), 2, &a, batch, same);
        for (int threads = 1; plain && threads <= POOLS; threads++) {
            run_once(p, isa, threads, threads, &a, batch, same); /* images side by side */
            run_once(p, isa, threads, 1, &a, batch, same);       /* lines side by side */
        }
    }
    free_arrays(&a);
}

static void count_steps(long *counts, const mm_program *p)
{
    for (int64_t i = 0; i < p->step_count; i++)
        if (p->steps[i].op >= 0 && p->steps[i].op < MM_OP_COUNT)
            counts[p->steps[i].op]++;
}

static void *copy_of(const void *from, int64_t count, size_t size)
{
    size_t bytes = count > 0 ? (size_t)count * size : 0;
    void *p = exactly(bytes);
    if (bytes)
        memcpy(p, from, bytes);
    return p;
}

/* Rings as short as mm_check lets them be: results must still not depend on threads. */
static void shorten_rings(const mm_program *p)
{
    int64_t step;
    for (int64_t i = 0; i < p->tensor_count; i++) {
        mm_tensor *t = (mm_tensor *)&p->tensors[i];
        while (t->ring >= 0 && t->line_mask > 0) {
            int64_t old = t->line_mask;
            t->line_mask = old / 2;
            if (mm_check(p, &step) != MM_OK) {
                t->line_mask = old;
                break;
            }
            shortened++;
        }
    }
}

static void try_program(long number, int plain)
{
    draft_t d;
    int64_t step;
    current = number;
    state = 88172645463325252u ^ (uint64_t)number * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 4; i++)
        random_bits();
    mm_step *focus = draw(&d, (int32_t)(number % MM_OP_COUNT));
    plain = plain || one_in(6);
    if (plain) {
        place(&d);
        add_reach(&d);
    } else {
        change(&d, focus);
    }
    mm_program p = d.p;
    p.tensors = copy_of(d.tensors, p.tensor_count, sizeof *p.tensors);
    p.steps = copy_of(d.steps, p.step_count, sizeof *p.steps);
    p.stages = copy_of(d.stages, p.stage_count, sizeof *p.stages);
    p.tables = copy_of(d.tables, p.table_count, sizeof *p.tables);
    count_steps(made, &p);
    if (plain)
        shorten_rings(&p);
    if (mm_check(&p, &step) != MM_OK) {
        if (plain)
            printf("program %ld, %s at %d: refused\n", number,
                   step >= 0 ? mm_op_name(p.steps[step].op) : "tensors", (int)step);
        plain ? plain_refused++ : changed_refused++;
    } else {
        count_steps(passed, &p);
        changed_passed += !plain;
        if (small_enough(&p)) {
            float *parameters = random_floats(p.parameter_count);
            float *constants = random_floats(p.constant_count);
            p.parameters = parameters;
            p.constants = constants;
            count_steps(ran, &p);
            run_program(&p, plain);
            free(parameters);
            free(constants);
        } else {
            too_large++;
        }
    }
    free((void *)p.tensors);
    free((void *)p.steps);
    free((void *)p.stages);
    free((void *)p.tables);
}

/* Zeros between rows come in whole vectors: kernels round paddings up to those. */
static int takes_gap(int64_t row_padding)
{
    mm_tensor t = {.offset = row_padding,
                   .row_stride = mm_round_lanes(20) + row_padding,
                   .channels = 1,
                   .height = 1,
                   .width = 20,
                   .ring = -1,
                   .line_mask = -1};
    t.line_stride = row_padding + t.row_stride;
    mm_program p = {.tensors = &t, .tensor_count = 1, .arena_floats = 1 << 10};
    int64_t step;
    return mm_check(&p, &step) == MM_OK;
}

static int wrong_gaps(void)
{
    int wrong = 0;
    for (int64_t row_padding = -40; row_padding <= 200; row_padding++)
        wrong += takes_gap(row_padding) != (row_padding > 0 && row_padding % MM_LANES == 0);
    return wrong;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1000, first = argc > 2 ? atol(argv[2]) : 0;
    int plain = argc > 3 && strcmp(argv[3], "plain") == 0;
    int verbose = argc > 3 && strcmp(argv[3], "verbose") == 0;
    for (int i = 0; i < POOLS; i++)
        if (mm_pool_new(i + 1, &pools[i]) != MM_OK)
            return 2;
    for (long i = first; i < first + count; i++) {
        if (verbose) {
            printf("program %ld\n", i);
            fflush(stdout);
        }
        try_program(i, plain);
    }
    for (int i = 0; i < POOLS; i++)
        mm_pool_free(pools[i]);
    for (int op = 0; op < MM_OP_COUNT; op++)
        printf("%s: %ld made, %ld passed, %ld run\n", mm_op_name(op), made[op], passed[op],
               ran[op]);
    printf("changed programs: %ld passed, %ld refused\n", changed_passed, changed_refused);
    printf("too large to run: %ld\n", too_large);
    printf("right programs refused: %ld\n", plain_refused);
    printf("results that differ: %ld\n", differences);
    printf("rings shortened: %ld times\n", shortened);
    printf("times below zero: %ld\n", backwards);
    printf("row paddings misjudged: %d\n", wrong_gaps());
    return plain_refused || differences || backwards || wrong_gaps();
}

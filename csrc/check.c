/* check.c - the border guard: a program that passes mm_check touches no memory but its own.
   Python builds programs from checked graphs, so a refusal here is a bug of the planner; it is
   still refused, since the alternative is a crash. */
#include "program.h"

#include "kernels.h"

#define MAX_DIM (1 << 21)

/* a * b, or a huge number where it would overflow; a, b >= 0 */
static int64_t times(int64_t a, int64_t b)
{
    return b && a > INT64_MAX / 4 / b ? INT64_MAX / 4 : a * b;
}

static int in_dim(int64_t value, int64_t low) { return value >= low && value <= MAX_DIM; }

/* [offset, offset + count) lies in [0, size) */
static int within(int64_t offset, int64_t count, int64_t size)
{
    return offset >= 0 && count >= 0 && count <= size && offset <= size - count;
}

/* The line that lies last in memory, and the size of that memory. */
static int64_t last_line(const mm_tensor *t)
{
    return t->ring >= 0 && t->line_mask < t->height - 1 ? t->line_mask : t->height - 1;
}
static int64_t memory_of(const mm_program *p, const mm_tensor *t)
{
    return t->ring < 0 ? p->arena_floats : p->ring_floats;
}

static int tensor_fits(const mm_program *p, const mm_tensor *t)
{
    if (!in_dim(t->channels, 1) || !in_dim(t->height, 1) || !in_dim(t->width, 1))
        return 0;
    if (t->is_vector && (t->channels != 1 || t->height != 1))
        return 0;
    if (t->row_stride < 0)
        return 0;
    int64_t gap = mm_gap(t);
    if (gap < MM_LANES || gap > MAX_DIM || gap % MM_LANES) /* it is cleared in whole vectors */
        return 0;
    /* with the zeros before it a line shares nothing with the one above, another thread's maybe */
    if (t->line_stride < gap + times(t->channels, t->row_stride) || t->line_stride > INT64_MAX / 8)
        return 0;
    int whole = t->ring == -1 && t->line_mask == -1;
    int ring = t->ring >= 0 && t->ring < MM_MAX_STAGE && in_dim(t->line_mask, 0) &&
               (t->line_mask & (t->line_mask + 1)) == 0;
    if (!whole && !ring)
        return 0;
    int64_t span = times(last_line(t), t->line_stride) + times(t->channels, t->row_stride);
    return t->offset >= gap && within(t->offset - gap, gap + span + MM_SLACK, memory_of(p, t));
}

static int same_shape(const mm_tensor *a, const mm_tensor *b)
{
    return a->channels == b->channels && a->height == b->height && a->width == b->width &&
           a->is_vector == b->is_vector;
}

static int parameters_fit(const mm_program *p, int64_t offset, int64_t count)
{
    return within(offset, count, p->parameter_count);
}

static int epilogue_fits(const mm_program *p, const mm_step *s, const mm_tensor *out)
{
    int64_t count = out->is_vector ? mm_round_lanes(out->width) : out->channels;
    if (s->activation < MM_NO_ACTIVATION || s->activation >= MM_ACTIVATION_COUNT)
        return 0;
    if (s->slopes != -1 && !parameters_fit(p, s->slopes, count))
        return 0;
    if (s->scale == -1 && s->shift == -1)
        return 1;
    return parameters_fit(p, s->scale, count) && parameters_fit(p, s->shift, count);
}

static int window_fits(const mm_step *s)
{
    return in_dim(s->kernel_h, 1) && in_dim(s->kernel_w, 1) && in_dim(s->stride_h, 1) &&
           in_dim(s->stride_w, 1) && in_dim(s->dilation_h, 1) && in_dim(s->dilation_w, 1) &&
           in_dim(s->pad_top, 0) && in_dim(s->pad_left, 0);
}

/* Elements of an input row, from its left padding on, that one output row needs. */
static int64_t reach(const mm_step *s, const mm_tensor *out)
{
    return times(out->width - 1, s->stride_w) + times(s->kernel_w - 1, s->dilation_w) + 1;
}

/* The same for whole vectors: where the last load ends. */
static int64_t vector_reach(const mm_step *s, const mm_tensor *out)
{
    return times(mm_round_lanes(out->width), s->stride_w) +
           times(s->kernel_w - 1, s->dilation_w) + MM_SLACK;
}

/* The zeros around a row are enough for the padding, and its memory for whole vectors. */
static int row_reaches(const mm_program *p, const mm_step *s, const mm_tensor *in,
                       const mm_tensor *out)
{
    int64_t gap = mm_gap(in);
    if (s->pad_left > gap || reach(s, out) - s->pad_left > in->width + gap)
        return 0;
    int64_t last = in->offset + times(last_line(in), in->line_stride) +
                   times(in->channels - 1, in->row_stride) - s->pad_left;
    return within(last, vector_reach(s, out), memory_of(p, in));
}

static int conv_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                     const mm_tensor *out)
{
    mm_step in_phases = *s;
    if (!window_fits(s) || in->is_vector || out->is_vector || s->groups < 1)
        return 0;
    if (s->split) { /* what is read of the row of a phase */
        if (s->stride_w != 2 || s->groups != 1 || in->channels % 2 ||
            times(s->kernel_w, s->dilation_w) > MAX_DIM)
            return 0;
        in_phases.stride_w = in_phases.dilation_w = 1;
        in_phases.pad_left = (int32_t)-mm_split_column(s, 0);
        in_phases.kernel_w = (int32_t)(mm_split_column(s, s->kernel_w - 1) + in_phases.pad_left + 1);
    }
    if (!row_reaches(p, &in_phases, in, out))
        return 0;
    const int64_t channels = in->channels / (s->split ? 2 : 1) / s->groups;
    if (in->channels % s->groups || out->channels % s->groups ||
        times(times(channels, s->kernel_w), s->kernel_h + 1) > p->max_list)
        return 0;
    int64_t weights = times(times(out->channels, channels),
                            times(s->kernel_h, s->kernel_w));
    return parameters_fit(p, s->weight, weights) && parameters_fit(p, s->bias, out->channels);
}

static int winograd_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                         const mm_tensor *out)
{
    if ((s->kernel_h != 3 && s->kernel_h != 5 && s->kernel_h != 7) || s->groups != 1 ||
        s->stride_h != 1 || s->stride_w != 1 || !window_fits(s) || in->is_vector ||
        out->is_vector || p->max_list < MM_WINOGRAD_POINTS ||
        times(in->channels, s->kernel_w) > p->max_list)
        return 0;
    if (!row_reaches(p, s, in, out))
        return 0; /* the gap is a multiple of MM_LANES, so mm_winograd_left stays within it too */
    int64_t row = mm_winograd_row(s, in, out), wide = mm_winograd_columns(in, out) + MM_LANES;
    int64_t weights = times(times(out->channels, in->channels),
                            times(MM_WINOGRAD_POINTS, s->kernel_w));
    int64_t scratch = times(MM_WINOGRAD_POINTS, times(in->channels, row)) +
                      times(MM_WINOGRAD_POINTS * MM_BLOCK + 1, wide);
    return scratch <= p->scratch_floats && within(s->first_constant, row, p->constant_count) &&
           parameters_fit(p, s->weight, weights) && parameters_fit(p, s->bias, out->channels);
}

static int depthwise_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                          const mm_tensor *out)
{
    if (!window_fits(s) || in->is_vector || out->is_vector || in->channels != out->channels ||
        s->stride_h > 2 || s->stride_w != s->stride_h || s->kernel_h != s->stride_h + 2 ||
        s->kernel_w != s->kernel_h || s->dilation_h != 1 || s->dilation_w != 1)
        return 0;
    return row_reaches(p, s, in, out) &&
           within(s->first_constant, mm_depthwise_row(s, out), p->constant_count) &&
           parameters_fit(p, s->weight, times(9, out->channels)) &&
           parameters_fit(p, s->bias, out->channels);
}

static int pool_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                     const mm_tensor *out)
{
    if (!window_fits(s) || in->is_vector || out->is_vector || in->channels != out->channels ||
        s->kernel_h > p->max_list || mm_pool_scratch(p, s) > p->scratch_floats)
        return 0;
    if (s->op == MM_OP_MAX_POOL && s->inner != MM_NO_ACTIVATION &&
        (s->inner < MM_SWISH || s->inner > MM_PISH || !mm_is_plain_pool(s, in, out)))
        return 0;
    if (s->op == MM_OP_MAX_POOL)
        return s->sign == -1 || parameters_fit(p, s->sign, out->channels);
    return within(s->first_constant, out->height, p->constant_count) &&
           within(s->second_constant, mm_round_lanes(out->width), p->constant_count);
}

static int table_fits(const mm_program *p, int64_t offset, int64_t count, int32_t size)
{
    if (!within(offset, count, p->table_count))
        return 0;
    for (int64_t i = 0; i < count; i++)
        if (p->tables[offset + i] < 0 || p->tables[offset + i] >= size)
            return 0;
    return 1;
}

static int resize_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                       const mm_tensor *out)
{
    int64_t each = s->op == MM_OP_BILINEAR ? 2 : 1;
    if (in->is_vector || out->is_vector || in->channels != out->channels ||
        !table_fits(p, s->first_table, each * out->height, in->height) ||
        !table_fits(p, s->second_table, each * out->width, in->width))
        return 0;
    return each == 1 || (within(s->first_constant, out->height, p->constant_count) &&
                         within(s->second_constant, out->width, p->constant_count));
}

static int copy_fits(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    if (in->is_vector != out->is_vector || s->at < 0)
        return 0;
    if (in->is_vector)
        return within(s->at, in->width, out->width);
    return in->height == out->height && in->width == out->width &&
           within(s->at, in->channels, out->channels);
}

static int binary_fits(const mm_step *s, const mm_tensor *a, const mm_tensor *b, const mm_tensor *out)
{
    if (!same_shape(a, out))
        return 0;
    if (mm_is_factor(b, out) || mm_is_doubled(s, b, out))
        return b->channels == out->channels && !out->is_vector;
    return same_shape(b, out);
}

static int linear_fits(const mm_program *p, const mm_step *s, const mm_tensor *in,
                       const mm_tensor *out)
{
    int64_t rounded = mm_round_lanes(out->width);
    return in->is_vector && out->is_vector &&
           parameters_fit(p, s->weight, times(rounded, in->width)) &&
           parameters_fit(p, s->bias, rounded);
}

static int softmax_fits(const mm_program *p, const mm_tensor *in, const mm_tensor *out)
{
    return same_shape(in, out) && in->channels <= p->max_list &&
           mm_round_lanes(in->width) <= p->scratch_floats;
}

static int flatten_fits(const mm_tensor *in, const mm_tensor *out)
{
    return out->is_vector && times(times(in->channels, in->height), in->width) == out->width;
}

static int step_fits(const mm_program *p, const mm_step *s)
{
    int has_input = s->op != MM_OP_INPUT_F32 && s->op != MM_OP_INPUT_U8 && s->op != MM_OP_ZERO;
    int has_second = s->op == MM_OP_ADD || s->op == MM_OP_MUL;
    int has_output = s->op != MM_OP_OUTPUT;
    if (s->op < 0 || s->op >= MM_OP_COUNT)
        return 0;
    if ((has_input && !within(s->input, 1, p->tensor_count)) ||
        (has_second && !within(s->second, 1, p->tensor_count)) ||
        (has_output && !within(s->output, 1, p->tensor_count)))
        return 0;
    if ((!has_input && s->input != -1) || (!has_second && s->second != -1) ||
        (!has_output && s->output != -1))
        return 0;
    const mm_tensor *in = has_input ? &p->tensors[s->input] : NULL;
    const mm_tensor *out = has_output ? &p->tensors[s->output] : NULL;
    if (out && !epilogue_fits(p, s, out))
        return 0;
    switch (s->op) {
    case MM_OP_INPUT_F32:
    case MM_OP_INPUT_U8:
        return within(s->array, 1, p->input_count) && (!s->split || out->channels % 2 == 0);
    case MM_OP_OUTPUT:
        return within(s->array, 1, p->output_count);
    case MM_OP_COPY:
        return copy_fits(s, in, out);
    case MM_OP_ZERO:
        return 1;
    case MM_OP_CONV:
        return conv_fits(p, s, in, out);
    case MM_OP_WINOGRAD:
        return winograd_fits(p, s, in, out);
    case MM_OP_DEPTHWISE:
        return depthwise_fits(p, s, in, out);
    case MM_OP_LINEAR:
        return linear_fits(p, s, in, out);
    case MM_OP_MAX_POOL:
    case MM_OP_AVG_POOL:
        return pool_fits(p, s, in, out);
    case MM_OP_GLOBAL_AVG_POOL:
        return !in->is_vector && !out->is_vector && in->channels == out->channels &&
               out->height == 1 && out->width == 1;
    case MM_OP_ADD:
    case MM_OP_MUL:
        return binary_fits(s, in, &p->tensors[s->second], out);
    case MM_OP_FLATTEN:
        return flatten_fits(in, out);
    case MM_OP_SOFTMAX:
        return softmax_fits(p, in, out);
    default: /* MM_OP_NEAREST, MM_OP_BILINEAR */
        return resize_fits(p, s, in, out);
    }
}

/* What a step may do within a stage of several: see mm_stage.  Each line of its output depends on
   a range of lines of its inputs, which run_band can tell. */
static int is_line_by_line(const mm_program *p, const mm_step *s)
{
    switch (s->op) {
    case MM_OP_INPUT_F32:
    case MM_OP_INPUT_U8:
    case MM_OP_ZERO:
    case MM_OP_COPY:
    case MM_OP_CONV:
    case MM_OP_WINOGRAD:
    case MM_OP_DEPTHWISE:
    case MM_OP_MAX_POOL:
    case MM_OP_AVG_POOL:
        return 1;
    case MM_OP_SOFTMAX:
        return !p->tensors[s->output].is_vector;
    case MM_OP_ADD:
    case MM_OP_MUL: /* a factor is read at line 0, so it must be whole */
        return !mm_is_factor(&p->tensors[s->second], &p->tensors[s->output]) ||
               p->tensors[s->second].ring < 0;
    default:
        return 0;
    }
}

/* Rings keep all lines of themselves that one band needs, whatever band it is.  A thread may begin
   with any band.  From band to band, needs move down only; so whatever of them is not computed in
   a band was in an earlier one of that thread, and nothing that is needed has been overwritten. */
static int rings_last(const mm_program *p, const mm_stage *stage, int64_t *step)
{
    mm_range own[MM_MAX_STAGE];
    int64_t bands = stage->count > 1 ? mm_bands(p, stage) : 0; /* one step alone has no ring */
    for (int64_t b = 0; b < bands; b++) {
        mm_lines_of_band(p, stage, b, own);
        for (int j = 0; j < stage->count; j++) {
            int32_t output = p->steps[stage->first + j].output;
            const mm_tensor *made = output < 0 ? NULL : &p->tensors[output];
            *step = stage->first + j;
            if (made && made->ring >= 0 && own[j].end - own[j].start > made->line_mask + 1)
                return 0;
        }
    }
    return 1;
}

/* Stages cover all steps in order; a ring is read and written in its stage only.  The last step of a
   stage writes a whole tensor, and so may others, the same lines in each band. */
static int stages_fit(const mm_program *p, int64_t *step)
{
    int64_t next = 0;
    for (int64_t i = 0; i < p->stage_count; i++) {
        const mm_stage *stage = &p->stages[i];
        int32_t height = 0;
        if (stage->first != next || stage->count < 1 || stage->count > MM_MAX_STAGE ||
            stage->count > p->step_count - next || stage->band < 1 || stage->band > MAX_DIM)
            return 0;
        for (int j = 0; j < stage->count; j++) {
            const mm_step *s = &p->steps[next + j];
            const mm_tensor *made = &p->tensors[s->op == MM_OP_OUTPUT ? s->input : s->output];
            int last = j == stage->count - 1;
            *step = next + j;
            if (stage->count > 1 && !is_line_by_line(p, s))
                return 0;
            if (made->ring < 0) {
                if ((height && made->height != height) || stage->band % mm_granule(s))
                    return 0; /* else two threads would compute one tile */
                height = made->height;
            } else if (last || s->op == MM_OP_OUTPUT) {
                return 0;
            }
            int32_t used[] = {s->input, s->second, s->output};
            for (int k = 0; k < 3; k++)
                if (used[k] >= 0 && p->tensors[used[k]].ring >= stage->count - 1)
                    return 0;
        }
        if (!rings_last(p, stage, step))
            return 0;
        next += stage->count;
    }
    *step = -1;
    return next == p->step_count;
}

int mm_check(const mm_program *p, int64_t *step)
{
    *step = -1;
    if (p->tensor_count < 0 || p->step_count < 0 || p->parameter_count < 0 ||
        p->constant_count < 0 || p->table_count < 0 || p->arena_floats < 0 ||
        p->scratch_floats < 0 || p->ring_floats < 0 || p->stage_count < 0 || p->max_list < 0)
        return MM_E_PROGRAM;
    for (int64_t i = 0; i < p->tensor_count; i++)
        if (!tensor_fits(p, &p->tensors[i]))
            return MM_E_PROGRAM;
    for (int64_t i = 0; i < p->step_count; i++)
        if (!step_fits(p, &p->steps[i])) {
            *step = i;
            return MM_E_PROGRAM;
        }
    return stages_fit(p, step) ? MM_OK : MM_E_PROGRAM;
}

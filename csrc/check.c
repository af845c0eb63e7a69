/* check.c - the border guard: a program that passes mm_check touches no memory but its own.
   Python builds programs from checked graphs, so a refusal here is a bug of the planner; it is
   still refused, since the alternative is a crash.  What each operator asks for is in op_*.c. */
#include "check.h"

#include "bands.h"

static int64_t memory_of(const mm_program *p, const mm_tensor *t)
{
    return t->ring < 0 ? p->arena_floats : p->ring_floats;
}

/* What a tensor is, wherever it lies. */
static int shape_fits(const mm_tensor *t)
{
    return mm_is_dim(t->channels, 1) && mm_is_dim(t->height, 1) && mm_is_dim(t->width, 1) &&
           (!t->is_vector || (t->channels == 1 && t->height == 1));
}

static int tensor_fits(const mm_program *p, const mm_tensor *t)
{
    if (!shape_fits(t) || t->row_stride < 0)
        return 0;
    int64_t padding = mm_row_padding(t);
    if (padding < MM_LANES || padding > MM_MAX_DIM || padding % MM_LANES)
        return 0; /* it is cleared in whole vectors */
    /* with the zeros before it a line shares nothing with the one above, another thread's maybe */
    if (t->line_stride < padding + mm_times(t->channels, t->row_stride) ||
        t->line_stride > INT64_MAX / 8)
        return 0;
    int whole = t->ring == -1 && t->line_mask == -1;
    int ring = t->ring >= 0 && t->ring < MM_MAX_STAGE && mm_is_dim(t->line_mask, 0) &&
               (t->line_mask & (t->line_mask + 1)) == 0;
    if (!whole && !ring)
        return 0;
    int64_t span = mm_times(mm_last_line(t), t->line_stride) + mm_times(t->channels, t->row_stride);
    return t->offset >= padding &&
           mm_within(t->offset - padding, padding + span + MM_SLACK, memory_of(p, t));
}

static int epilogue_fits(const mm_operands *o)
{
    const mm_step *s = o->step;
    int64_t count = o->out->is_vector ? mm_round_lanes(o->out->width) : o->out->channels;
    if (MM_OPS[s->op].inputs == 0 && s->column_phases)
        count /= 2; /* of the caller, where even and odd columns are channels of their own */
    if (s->activation < MM_NO_ACTIVATION || s->activation >= MM_ACTIVATION_COUNT)
        return 0;
    if (s->slopes != -1 && !mm_has_parameters(o, s->slopes, count))
        return 0;
    if (s->scale == -1 && s->shift == -1)
        return 1;
    return mm_has_parameters(o, s->scale, count) && mm_has_parameters(o, s->shift, count);
}

/* A tensor where there must be one, and none where there must not. */
static int number_fits(const mm_program *p, int32_t tensor, int wanted)
{
    return wanted ? mm_within(tensor, 1, p->tensor_count) : tensor == -1;
}

static int operands_fit(const mm_program *p, const mm_step *s)
{
    if (s->op < 0 || s->op >= MM_OP_COUNT)
        return 0;
    const mm_operator *op = &MM_OPS[s->op];
    return number_fits(p, s->input, op->inputs > 0) && number_fits(p, s->second, op->inputs > 1) &&
           number_fits(p, s->output, op->outputs > 0);
}

/* Whether the program has what the step needs, and its input rows the zeros and the memory. */
static int needs_fit(const mm_operands *o, const mm_needs *n)
{
    const mm_program *p = o->program;
    if (n->scratch_floats > p->scratch_floats || n->max_list > p->max_list)
        return 0;
    if (n->zeros && !mm_has_constants(o, o->step->first_constant, n->zeros))
        return 0;
    if (!n->loads && !n->before) /* with much padding loads may end right before the row */
        return 1;
    const mm_tensor *in = o->in;
    int64_t padding = mm_row_padding(in);
    int64_t last = in->offset + mm_times(mm_last_line(in), in->line_stride) +
                   mm_times(in->channels - 1, in->row_stride);
    return n->before <= padding && n->behind <= padding &&
           mm_within(last - n->before, n->before + n->loads, memory_of(p, in));
}

/* *tables: entries that steps before it have looked at; each has tables of its own, or a long one
   of which all steps of a plan make use would be looked at for hours. */
static int step_fits(const mm_program *p, const mm_step *s, int64_t *tables)
{
    mm_needs needs = {0};
    if (!operands_fit(p, s))
        return 0;
    const mm_operands o = mm_operands_of(p, s);
    if ((o.out && !epilogue_fits(&o)) || !MM_OPS[s->op].check(&o))
        return 0;
    MM_OPS[s->op].measure(&o, &needs);
    *tables += needs.tables;
    return needs_fit(&o, &needs) && *tables <= p->table_count;
}

/* Whether a step can be measured: its numbers are none that a measure could not count with. */
static int is_measurable(const mm_program *p, const mm_step *s)
{
    if (!operands_fit(p, s))
        return 0;
    const mm_operands o = mm_operands_of(p, s);
    const mm_tensor *tensors[] = {o.in, o.second, o.out};
    for (int i = 0; i < 3; i++)
        if (tensors[i] &&
            (!shape_fits(tensors[i]) || tensors[i]->ring < -1 || tensors[i]->ring >= MM_MAX_STAGE))
            return 0;
    if ((mm_is_windowed(s->op) || s->op == MM_OP_DEPTHWISE_PLANES) && !mm_window_fits(s))
        return 0;
    if (s->op == MM_OP_DEPTHWISE_PLANES &&
        !(mm_is_dim(s->plane_in, 0) && mm_is_dim(s->plane_out, 1)))
        return 0;
    return mm_tile_lines(s) >= 1 && (s->op != MM_OP_CONV || s->groups >= 1) &&
           (MM_OPS[s->op].lines != mm_lines_shuffle || mm_is_dim(s->stride_h, 1));
}

int mm_measure(const mm_program *p, int64_t step, mm_needs *needs)
{
    *needs = (mm_needs){0};
    if (step < 0 || step >= p->step_count || !is_measurable(p, &p->steps[step]))
        return MM_E_PROGRAM;
    const mm_operands o = mm_operands_of(p, &p->steps[step]);
    MM_OPS[o.step->op].measure(&o, needs);
    needs->tile_lines = (int32_t)mm_tile_lines(o.step);
    needs->stride = mm_is_windowed(o.step->op) ? o.step->stride_h : 1;
    needs->is_banded = MM_OPS[o.step->op].banded(&o);
    return MM_OK;
}

/* Whether the rings of a step are among those of a stage of so many steps. */
static int rings_fit(const mm_program *p, const mm_step *s, int32_t count)
{
    const mm_operands o = mm_operands_of(p, s);
    const mm_tensor *tensors[] = {o.in, o.second, o.out};
    for (int i = 0; i < 3; i++)
        if (tensors[i] && tensors[i]->ring >= count)
            return 0;
    return 1;
}

int mm_measure_stage(const mm_program *p, const mm_stage *stage, int64_t *ring_lines)
{
    if (stage->count < 1 || stage->count > MM_MAX_STAGE || !mm_is_dim(stage->band, 1) ||
        !mm_within(stage->first, stage->count, p->step_count))
        return MM_E_PROGRAM;
    for (int32_t i = 0; i < stage->count; i++)
        if (!is_measurable(p, &p->steps[stage->first + i]) ||
            !rings_fit(p, &p->steps[stage->first + i], stage->count))
            return MM_E_PROGRAM;
    return mm_ring_lines(p, stage, ring_lines);
}

/* Bands that are looked at one by one; two million would take seconds for each stage of a plan. */
#define MM_MAX_LOOKED_AT 1024

/* Whether rings have room for what a band needs in a picture without an end, which is no less and
   the same for all but a few bands; a ring as high as its tensor always has. */
static int rings_last_anywhere(const mm_program *p, const mm_stage *stage)
{
    int64_t lines[MM_MAX_STAGE];
    if (mm_ring_lines(p, stage, lines))
        return 0;
    for (int j = 0; j < stage->count; j++) {
        const mm_tensor *made = mm_made(p, &p->steps[stage->first + j]);
        if (made->ring >= 0 && mm_smaller(lines[made->ring], made->height) > made->line_mask + 1)
            return 0;
    }
    return 1;
}

/* Rings keep all lines of themselves that one band needs, whatever band it is.  A thread may begin
   with any band.  From band to band, needs move down only; so whatever of them is not computed in
   a band was in an earlier one of that thread, and nothing that is needed has been overwritten. */
static int rings_last(const mm_program *p, const mm_stage *stage, int64_t *step)
{
    mm_range own[MM_MAX_STAGE];
    const int64_t bands = stage->count > 1 ? mm_bands(p, stage) : 0; /* one step has no ring */
    if (bands > MM_MAX_LOOKED_AT)
        return rings_last_anywhere(p, stage);
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

/* Stages cover all steps in order; a ring is read and written in its stage only.  The last step of
   a stage writes a whole tensor, and so may others, the same lines in each band. */
static int stages_fit(const mm_program *p, int64_t *step)
{
    int64_t next = 0;
    for (int64_t i = 0; i < p->stage_count; i++) {
        const mm_stage *stage = &p->stages[i];
        int32_t height = 0;
        if (stage->first != next || stage->count < 1 || stage->count > MM_MAX_STAGE ||
            stage->count > p->step_count - next || stage->band < 1 || stage->band > MM_MAX_DIM)
            return 0;
        for (int j = 0; j < stage->count; j++) {
            const mm_step *s = &p->steps[next + j];
            const mm_tensor *made = mm_made(p, s);
            int last = j == stage->count - 1;
            *step = next + j;
            const mm_operands o = mm_operands_of(p, s);
            const int banded = MM_OPS[s->op].banded(&o);
            if (stage->count > 1 && (!banded || (banded == MM_FIRST_OF_STAGE && j)))
                return 0;
            if (made->ring < 0) {
                if ((height && made->height != height) || stage->band % mm_tile_lines(s))
                    return 0; /* else two threads would compute one tile */
                height = made->height;
            } else if (last || !o.out) {
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
    int64_t tables = 0;
    *step = -1;
    if (p->tensor_count < 0 || p->step_count < 0 || p->parameter_count < 0 ||
        p->constant_count < 0 || p->table_count < 0 || p->arena_floats < 0 ||
        p->quantized_count < 0 || p->scratch_floats < 0 || p->ring_floats < 0 ||
        p->stage_count < 0 || p->max_list < 0)
        return MM_E_PROGRAM;
    for (int64_t i = 0; i < p->tensor_count; i++)
        if (!tensor_fits(p, &p->tensors[i]))
            return MM_E_PROGRAM;
    for (int64_t i = 0; i < p->step_count; i++)
        if (!step_fits(p, &p->steps[i], &tables)) {
            *step = i;
            return MM_E_PROGRAM;
        }
    return stages_fit(p, step) ? MM_OK : MM_E_PROGRAM;
}

/* op_binary.c - arithmetic element by element: sums and products of two tensors, and bounds.  The
   second may be one value per channel, a factor; or in a sum half as high and wide, doubled on the
   way. */
#include "check.h"
#include "lines.h"

static int is_factor(const mm_tensor *second, const mm_tensor *output)
{
    return !second->is_vector && second->height == 1 && second->width == 1 &&
           (output->height != 1 || output->width != 1);
}

/* One pixel is a factor instead. */
static int is_doubled(const mm_step *s, const mm_tensor *second, const mm_tensor *output)
{
    return s->op == MM_OP_ADD && !second->is_vector && !is_factor(second, output) &&
           2 * second->height == output->height && 2 * second->width == output->width;
}

static void binary_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *tensors = worker->program->tensors;
    const mm_tensor *a = &tensors[s->input], *b = &tensors[s->second], *out = &tensors[s->output];
    const mm_kernels *k = worker->kernels;
    int factor = is_factor(b, out), add = s->op == MM_OP_ADD, doubled = is_doubled(s, b, out);
    mm_binary_fn *f = doubled ? k->add_doubled : add ? k->add : k->mul;
    size_t width = (size_t)out->width;
    int64_t line = factor ? 0 : doubled ? y / 2 : y;
    for (int64_t c = 0; c < out->channels; c++) {
        const float *x = mm_row(worker, a, y, c), *z = mm_row(worker, b, line, c);
        float *row = mm_row(worker, out, y, c);
        if (factor)
            k->affine(x, row, width, add ? 1.0f : z[0], add ? z[0] : 0.0f);
        else
            f(x, z, row, width);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

MM_RUN_EACH_LINE(add, binary_line)
MM_RUN_EACH_LINE(mul, binary_line)

int mm_check_binary(const mm_operands *o)
{
    const mm_tensor *a = o->in, *b = o->second, *out = o->out;
    if (!mm_same_shape(a, out))
        return 0;
    if (is_factor(b, out) || is_doubled(o->step, b, out))
        return b->channels == out->channels && !out->is_vector;
    return mm_same_shape(b, out);
}

/* A factor is read at line 0: it must be whole before the first line is made. */
int mm_banded_no_factor(const mm_operands *o)
{
    return mm_banded_maps(o) && !is_factor(o->second, o->out);
}

mm_range mm_lines_sum(const mm_operands *o, int second, mm_range out)
{
    if (second && is_doubled(o->step, o->second, o->out))
        return (mm_range){(out.start - (out.start & 1)) / 2, (out.end + (out.end & 1)) / 2};
    return out;
}

/* What is not the same the other way round.  A factor is spread over a row of scratch: dividing by
   it is not multiplying by its inverse. */
static void ordered_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *tensors = worker->program->tensors;
    const mm_tensor *a = &tensors[s->input], *b = &tensors[s->second], *out = &tensors[s->output];
    mm_binary_fn *f = s->op == MM_OP_SUB ? worker->kernels->sub : worker->kernels->div;
    const int factor = is_factor(b, out);
    for (int64_t c = 0; c < out->channels; c++) {
        const float *x = mm_row(worker, a, y, c), *z = mm_row(worker, b, factor ? 0 : y, c);
        float *row = mm_row(worker, out, y, c);
        if (factor) {
            for (int64_t i = 0; i < out->width; i++)
                worker->scratch[i] = z[0];
            z = worker->scratch;
        }
        f(s->reversed ? z : x, s->reversed ? x : z, row, (size_t)out->width);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

MM_RUN_EACH_LINE(sub, ordered_line)
MM_RUN_EACH_LINE(div, ordered_line)

int mm_check_ordered(const mm_operands *o)
{
    const mm_tensor *a = o->in, *b = o->second, *out = o->out;
    if (!mm_same_shape(a, out))
        return 0;
    return is_factor(b, out) ? b->channels == out->channels && !out->is_vector
                             : mm_same_shape(b, out);
}

void mm_measure_ordered(const mm_operands *o, mm_needs *needs)
{
    if (is_factor(o->second, o->out))
        needs->scratch_floats = mm_round_lanes(o->out->width);
}

static void clamp_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, y, c);
        worker->kernels->clamp(mm_row(worker, in, y, c), row, (size_t)out->width, s->low, s->high);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

MM_RUN_EACH_LINE(clamp, clamp_line)

int mm_check_clamp(const mm_operands *o) { return mm_same_shape(o->in, o->out); }

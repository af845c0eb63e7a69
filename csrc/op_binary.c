/* op_binary.c - sums and products of two tensors, element by element.  The second may be one value
   per channel, a factor; or in a sum half as high and wide, doubled on the way. */
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

/* op_dense.c - operators that look at whole vectors, whole planes or all channels at once. */
#include "check.h"
#include "lines.h"

void mm_run_linear(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    float *row = mm_row(worker, out, 0, 0);
    (void)y, (void)end;
    worker->kernels->linear(mm_row(worker, in, 0, 0), mm_parameter(worker, s->weight),
                            mm_parameter(worker, s->bias), row, (size_t)in->width,
                            (size_t)out->width);
    mm_finish_row(worker, s, out, row, 0, 0);
}

void mm_run_global_avg_pool(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t lines = s->plane_in ? 1 : in->height;
    double count = (double)lines * in->width;
    (void)y, (void)end;
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, 0, c);
        const int64_t first = s->plane_in ? c / in->channels : 0;
        const int64_t channel = s->plane_in ? c % in->channels : c;
        double sum = 0.0;
        for (int64_t line = first; line < first + lines; line++)
            sum +=
                worker->kernels->reduce_sum(mm_row(worker, in, line, channel), (size_t)in->width);
        row[0] = (float)(sum / count);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

int mm_check_linear(const mm_operands *o)
{
    int64_t rounded = mm_round_lanes(o->out->width);
    return o->in->is_vector && o->out->is_vector &&
           mm_has_parameters(o, o->step->weight, mm_times(rounded, o->in->width)) &&
           mm_has_parameters(o, o->step->bias, rounded);
}

int mm_check_global_avg_pool(const mm_operands *o)
{
    const int64_t lines = o->step->plane_in ? o->in->height : 1;
    return mm_are_maps(o->in, o->out) && o->in->channels * lines == o->out->channels &&
           o->out->height == 1 && o->out->width == 1;
}

static void softmax_vector(const mm_worker *worker, const mm_step *s, const mm_tensor *in,
                           const mm_tensor *out)
{
    const float *x = mm_row(worker, in, 0, 0);
    float *row = mm_row(worker, out, 0, 0), largest = x[0];
    size_t width = (size_t)in->width;
    double sum = 0.0;
    for (size_t i = 1; i < width; i++)
        largest = x[i] > largest ? x[i] : largest;
    worker->kernels->affine(x, row, width, 1.0f, -largest);
    worker->kernels->exp(row, row, width, 0.0f);
    for (size_t i = 0; i < width; i++)
        sum += row[i];
    for (size_t i = 0; i < width; i++)
        row[i] = (float)(row[i] / sum);
    mm_finish_row(worker, s, out, row, 0, 0);
}

static void softmax_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_kernels *k = worker->kernels;
    size_t width = (size_t)in->width, channels = (size_t)in->channels;
    if (in->is_vector) {
        softmax_vector(worker, s, in, out);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        worker->rows[c] = mm_row(worker, in, y, (int64_t)c);
    k->fold_max(worker->rows, channels, worker->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = mm_row(worker, out, y, (int64_t)c);
        k->sub(worker->rows[c], worker->scratch, row, width);
        k->exp(row, row, width, 0.0f);
        worker->rows[c] = row;
    }
    k->fold_sum(worker->rows, channels, worker->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = mm_row(worker, out, y, (int64_t)c);
        k->div(row, worker->scratch, row, width);
        mm_finish_row(worker, s, out, row, (int64_t)c, 0);
    }
}

MM_RUN_EACH_LINE(softmax, softmax_line)

int mm_check_softmax(const mm_operands *o) { return mm_same_shape(o->in, o->out); }

void mm_measure_softmax(const mm_operands *o, mm_needs *needs)
{
    needs->max_list = o->in->channels;
    needs->scratch_floats = mm_round_lanes(o->in->width);
}

/* A NaN is larger than any number, as in PyTorch; of equals, the first. */
static int is_larger(float a, float b) { return a > b || (a != a && b == b); }

static void argmax_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    float *row = mm_row(worker, out, y, 0), *best = worker->scratch;
    if (in->is_vector) {
        const float *x = mm_row(worker, in, 0, 0);
        int64_t largest = 0;
        for (int64_t i = 1; i < in->width; i++)
            largest = is_larger(x[i], x[largest]) ? i : largest;
        row[0] = (float)largest;
    } else {
        memcpy(best, mm_row(worker, in, y, 0), (size_t)in->width * sizeof *best);
        for (int64_t x = 0; x < in->width; x++)
            row[x] = 0.0f;
        for (int64_t c = 1; c < in->channels; c++) {
            const float *value = mm_row(worker, in, y, c);
            for (int64_t x = 0; x < in->width; x++)
                if (is_larger(value[x], best[x])) {
                    best[x] = value[x];
                    row[x] = (float)c;
                }
        }
    }
    mm_finish_row(worker, s, out, row, 0, 0);
}

MM_RUN_EACH_LINE(argmax, argmax_line)

int mm_check_argmax(const mm_operands *o)
{
    const mm_tensor *in = o->in, *out = o->out;
    if (in->is_vector != out->is_vector || out->channels != 1 || out->height != in->height)
        return 0;
    return out->width == (in->is_vector ? 1 : in->width);
}

void mm_measure_argmax(const mm_operands *o, mm_needs *needs)
{
    needs->scratch_floats = mm_round_lanes(o->in->width);
}

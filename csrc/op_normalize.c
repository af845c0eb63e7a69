/* op_normalize.c - normalization by the moments of the input itself, group by group of its channels
   (a vector: of its features), or of all channels at each place.  The order of all sums is fixed;
   the moments of groups are added up in double. */
#include <math.h>

#include "check.h"
#include "lines.h"

typedef struct {
    double sum, count;
} mm_total;

/* Of the values, or of the squares of their distances from the mean; in four sums, which do not
   wait for each other. */
static mm_total total_of_features(const float *x, int64_t count, double mean, int squares)
{
    double a = 0.0, b = 0.0, c = 0.0, d = 0.0;
    int64_t i = 0;
#define MM_ADD(sum, value)                                                                         \
    do {                                                                                           \
        const double apart = (value) - mean;                                                       \
        (sum) += squares ? apart * apart : (value);                                                \
    } while (0)
    for (; i + 4 <= count; i += 4) {
        MM_ADD(a, x[i]);
        MM_ADD(b, x[i + 1]);
        MM_ADD(c, x[i + 2]);
        MM_ADD(d, x[i + 3]);
    }
    for (; i < count; i++)
        MM_ADD(a, x[i]);
#undef MM_ADD
    return (mm_total){(a + b) + (c + d), (double)count};
}

/* Channels [first, end): of the values; or of their distances from about the mean, and of the
   squares of these.  A line is added up in float: of values far from 0 that loses what of distances
   from the mean is kept, so only the second tells the mean. */
static mm_total total_of_channels(const mm_worker *worker, const mm_tensor *in, int64_t first,
                                  int64_t end, float mean, double *squares)
{
    const mm_kernels *k = worker->kernels;
    const size_t width = (size_t)in->width;
    double sum = 0.0;
    for (int64_t c = first; c < end; c++)
        for (int64_t y = 0; y < in->height; y++) {
            const float *row = mm_row(worker, in, y, c);
            if (squares) {
                float *apart = worker->scratch;
                k->affine(row, apart, width, 1.0f, -mean);
                for (int64_t x = in->width; x < mm_round_lanes(in->width); x++)
                    apart[x] = 0.0f;
                sum += k->reduce_sum(apart, width);
                k->mul(apart, apart, apart, width);
                for (int64_t x = in->width; x < mm_round_lanes(in->width); x++)
                    apart[x] = 0.0f;
                *squares += k->reduce_sum(apart, width);
            } else {
                sum += k->reduce_sum(row, width);
            }
        }
    return (mm_total){sum, (double)(end - first) * in->height * in->width};
}

void mm_run_moments(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t each = (in->is_vector ? in->width : in->channels) / s->groups;
    (void)y, (void)end;
    for (int64_t g = 0; g < out->channels; g++) {
        float *row = mm_row(worker, out, 0, g);
        const float *features = mm_row(worker, in, 0, 0) + (in->is_vector ? g * each : 0);
        mm_total all = in->is_vector
                           ? total_of_features(features, each, 0.0, 0)
                           : total_of_channels(worker, in, g * each, (g + 1) * each, 0.0f, NULL);
        const float rounded = (float)(all.sum / all.count);
        double left, variance;
        if (in->is_vector) {
            const double mean = all.sum / all.count;
            mm_total squares = total_of_features(features, each, mean, 1);
            left = mean - rounded;
            variance = squares.sum / squares.count;
        } else {
            double squares = 0.0;
            all = total_of_channels(worker, in, g * each, (g + 1) * each, rounded, &squares);
            left = all.sum / all.count;
            variance = squares / all.count - left * left; /* may round to less than 0 */
        }
        row[0] = rounded;
        row[1] = (float)left;
        row[2] = (float)(1.0 / sqrt((variance > 0.0 ? variance : variance * 0.0) + s->low));
        mm_finish_row(worker, s, out, row, g, 0);
    }
}

static void normalize_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *moments = &worker->program->tensors[s->second];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_kernels *k = worker->kernels;
    const float *weight = worker->program->constants + s->first_constant;
    const float *bias = worker->program->constants + s->second_constant;
    const int64_t each = (in->is_vector ? in->width : in->channels) / moments->channels;
    if (in->is_vector) {
        const float *x = mm_row(worker, in, 0, 0);
        float *row = mm_row(worker, out, 0, 0);
        for (int64_t g = 0, i = 0; g < moments->channels; g++) {
            const float *m = mm_row(worker, moments, 0, g);
            const float mean = m[0], left = m[1], factor = m[2];
            for (const int64_t end = i + each; i < end; i++)
                row[i] = ((x[i] - mean) - left) * factor * weight[i] + bias[i];
        }
        mm_finish_row(worker, s, out, row, 0, 0);
        return;
    }
    for (int64_t c = 0; c < in->channels; c++) {
        const float *m = mm_row(worker, moments, 0, c / each);
        const float factor = m[2] * weight[c], shift = bias[c] - m[1] * factor, mean = m[0];
        float *row = mm_row(worker, out, y, c);
        k->affine(mm_row(worker, in, y, c), row, (size_t)in->width, 1.0f, -mean);
        k->affine(row, row, (size_t)in->width, factor, shift);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

static void layer_norm_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_layer_norm n = {.x = mm_row(worker, in, y, 0),
                             .weight = worker->program->constants + s->first_constant,
                             .bias = worker->program->constants + s->second_constant,
                             .out = mm_row(worker, out, y, 0),
                             .x_stride = (ptrdiff_t)in->row_stride,
                             .out_stride = (ptrdiff_t)out->row_stride,
                             .channels = (size_t)in->channels,
                             .width = (size_t)in->width,
                             .eps = s->low};
    worker->kernels->layer_norm(&n);
    for (int64_t c = 0; c < out->channels; c++)
        mm_finish_row(worker, s, out, mm_row(worker, out, y, c), c, 0);
}

MM_RUN_EACH_LINE(normalize, normalize_line)
MM_RUN_EACH_LINE(layer_norm, layer_norm_line)

int mm_check_moments(const mm_operands *o)
{
    const int32_t groups = o->step->groups;
    return groups >= 1 && (o->in->is_vector ? o->in->width : o->in->channels) % groups == 0 &&
           !o->out->is_vector && o->out->channels == groups && o->out->height == 1 &&
           o->out->width == 3;
}

void mm_measure_moments(const mm_operands *o, mm_needs *needs)
{
    needs->scratch_floats = mm_round_lanes(o->in->width);
}

int mm_check_normalize(const mm_operands *o)
{
    const mm_tensor *in = o->in, *moments = o->second;
    const int64_t count = in->is_vector ? in->width : in->channels;
    return mm_same_shape(in, o->out) && !moments->is_vector && moments->height == 1 &&
           moments->width == 3 && count % moments->channels == 0 &&
           mm_has_constants(o, o->step->first_constant, count) &&
           mm_has_constants(o, o->step->second_constant, count);
}

int mm_check_layer_norm(const mm_operands *o)
{
    return mm_are_maps(o->in, o->out) && mm_same_shape(o->in, o->out) &&
           mm_has_constants(o, o->step->first_constant, o->in->channels) &&
           mm_has_constants(o, o->step->second_constant, o->in->channels);
}

/* steps.c - what a step does to lines of one image.  Arithmetic on rows is in the kernels; what is here
   (and in windows.c) is which rows.  There is no other entry than mm_step_lines, so that threads,
   bands, batches and tests compute every line in the same way. */
#include "lines.h"

/* --- the caller's arrays ---------------------------------------------------------------- */

#define MM_LINES_AHEAD 16 /* few enough for the second cache, enough for the memory to be in time */

static void run_input_f32(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const int64_t phases = s->split ? 2 : 1, width = phases * t->width;
    const float *line = (const float *)lane->inputs[s->array] +
                        (lane->image * t->channels / phases * t->height + y) * width;
    for (int64_t c = 0; c < t->channels; c += phases, line += t->height * width) {
        float *row = mm_row(lane, t, y, c), *odd = row + t->row_stride;
        if (y + MM_LINES_AHEAD < t->height)
            for (int64_t x = 0; x < width; x += MM_LANES)
                MM_PREFETCH(line + MM_LINES_AHEAD * width + x);
        if (s->split) {
            for (int64_t x = 0; x < t->width; x++) {
                row[x] = line[2 * x];
                odd[x] = line[2 * x + 1];
            }
            mm_finish_row(lane, s, t, odd, c + 1, 0);
        } else {
            memcpy(row, line, (size_t)width * sizeof *row);
        }
        mm_finish_row(lane, s, t, row, c, 0);
    }
}

static void run_input_u8(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->output];
    const uint8_t *line = (const uint8_t *)lane->inputs[s->array] +
                          (lane->image * t->height + y) * t->width * t->channels;
    const int64_t phases = s->split ? 2 : 1;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = mm_row(lane, t, y, c);
        const uint8_t *first = line + c % phases * (t->channels / phases) + c / phases;
        for (int64_t x = 0; x < t->width; x++)
            row[x] = (float)first[x * t->channels] / 255.0f;
        mm_finish_row(lane, s, t, row, c, 0);
    }
}

static void run_output(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &lane->program->tensors[s->input];
    float *image = lane->outputs[s->array] + lane->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++)
        memcpy(image + (c * t->height + y) * t->width, mm_row(lane, t, y, c),
               (size_t)t->width * sizeof *image);
}

/* --- moving data ------------------------------------------------------------------------ */

/* memmove, since mm_check lets the tensors of a step overlap. */
static void copy_floats(float *to, const float *from, int64_t count)
{
    memmove(to, from, (size_t)count * sizeof *to);
}

static void run_copy(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    if (in->is_vector && in->width != out->width) { /* a part of a concatenation */
        float *row = mm_row(lane, out, 0, 0);
        copy_floats(row + s->at, mm_row(lane, in, 0, 0), in->width);
        mm_zero_padding(out, row, 0);
        return;
    }
    for (int64_t c = 0; c < in->channels; c++) {
        float *row = mm_row(lane, out, y, c + s->at);
        copy_floats(row, mm_row(lane, in, y, c), in->width);
        mm_finish_row(lane, s, out, row, c + s->at, 0);
    }
}

static void run_zero(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &lane->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(lane, out, y, c);
        memset(row, 0, (size_t)out->width * sizeof *row);
        mm_zero_padding(out, row, c);
    }
}

static void run_flatten(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = mm_row(lane, out, 0, 0), *p = row;
    (void)y;
    for (int64_t c = 0; c < in->channels; c++)
        for (int64_t line = 0; line < in->height; line++, p += in->width)
            copy_floats(p, mm_row(lane, in, line, c), in->width);
    mm_finish_row(lane, s, out, row, 0, 0);
}

static void run_nearest(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const int32_t *from = lane->program->tables + s->second_table;
    int64_t line = lane->program->tables[s->first_table + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = mm_row(lane, in, line, c);
        float *row = mm_row(lane, out, y, c);
        for (int64_t x = 0; x < out->width; x++)
            row[x] = a[from[x]];
        mm_finish_row(lane, s, out, row, c, 0);
    }
}

/* Tables hold the two neighbours of each line (column), constants the weight of the second. */
static void run_bilinear(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_program *p = lane->program;
    const mm_tensor *in = &p->tensors[s->input], *out = &p->tensors[s->output];
    const int32_t *lines = p->tables + s->first_table + 2 * y;
    const int32_t *from = p->tables + s->second_table;
    const float *wx = p->constants + s->second_constant;
    const float wy = p->constants[s->first_constant + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = mm_row(lane, in, lines[0], c), *b = mm_row(lane, in, lines[1], c);
        float *row = mm_row(lane, out, y, c);
        for (int64_t x = 0; x < out->width; x++) {
            int32_t i = from[2 * x], j = from[2 * x + 1];
            float top = a[i] * (1.0f - wx[x]) + a[j] * wx[x];
            float bottom = b[i] * (1.0f - wx[x]) + b[j] * wx[x];
            row[x] = top * (1.0f - wy) + bottom * wy;
        }
        mm_finish_row(lane, s, out, row, c, 0);
    }
}

/* --- arithmetic ------------------------------------------------------------------------- */

static void run_linear(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    float *row = mm_row(lane, out, 0, 0);
    (void)y;
    lane->kernels->linear(mm_row(lane, in, 0, 0), mm_parameter(lane, s->weight),
                          mm_parameter(lane, s->bias), row, (size_t)in->width, (size_t)out->width);
    mm_finish_row(lane, s, out, row, 0, 0);
}

static void run_global_avg_pool(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    double count = (double)in->height * in->width;
    (void)y;
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(lane, out, 0, c);
        double sum = 0.0;
        for (int64_t line = 0; line < in->height; line++)
            sum += lane->kernels->reduce_sum(mm_row(lane, in, line, c), (size_t)in->width);
        row[0] = (float)(sum / count);
        mm_finish_row(lane, s, out, row, c, 0);
    }
}

static void run_binary(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *tensors = lane->program->tensors;
    const mm_tensor *a = &tensors[s->input], *b = &tensors[s->second], *out = &tensors[s->output];
    const mm_kernels *k = lane->kernels;
    int factor = mm_is_factor(b, out), add = s->op == MM_OP_ADD, doubled = mm_is_doubled(s, b, out);
    mm_binary_fn *f = doubled ? k->add_doubled : add ? k->add : k->mul;
    size_t width = (size_t)out->width;
    int64_t line = factor ? 0 : doubled ? y / 2 : y;
    for (int64_t c = 0; c < out->channels; c++) {
        const float *x = mm_row(lane, a, y, c), *z = mm_row(lane, b, line, c);
        float *row = mm_row(lane, out, y, c);
        if (factor)
            k->affine(x, row, width, add ? 1.0f : z[0], add ? z[0] : 0.0f);
        else
            f(x, z, row, width);
        mm_finish_row(lane, s, out, row, c, 0);
    }
}

static void softmax_vector(const mm_lane *lane, const mm_step *s, const mm_tensor *in,
                           const mm_tensor *out)
{
    const float *x = mm_row(lane, in, 0, 0);
    float *row = mm_row(lane, out, 0, 0), largest = x[0];
    size_t width = (size_t)in->width;
    double sum = 0.0;
    for (size_t i = 1; i < width; i++)
        largest = x[i] > largest ? x[i] : largest;
    lane->kernels->affine(x, row, width, 1.0f, -largest);
    lane->kernels->exp(row, row, width, 0.0f);
    for (size_t i = 0; i < width; i++)
        sum += row[i];
    for (size_t i = 0; i < width; i++)
        row[i] = (float)(row[i] / sum);
    mm_finish_row(lane, s, out, row, 0, 0);
}

static void run_softmax(const mm_lane *lane, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &lane->program->tensors[s->input];
    const mm_tensor *out = &lane->program->tensors[s->output];
    const mm_kernels *k = lane->kernels;
    size_t width = (size_t)in->width, channels = (size_t)in->channels;
    if (in->is_vector) {
        softmax_vector(lane, s, in, out);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        lane->rows[c] = mm_row(lane, in, y, (int64_t)c);
    k->fold_max(lane->rows, channels, lane->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = mm_row(lane, out, y, (int64_t)c);
        k->sub(lane->rows[c], lane->scratch, row, width);
        k->exp(row, row, width, 0.0f);
        lane->rows[c] = row;
    }
    k->fold_sum(lane->rows, channels, lane->scratch, width);
    for (size_t c = 0; c < channels; c++) {
        float *row = mm_row(lane, out, y, (int64_t)c);
        k->div(row, lane->scratch, row, width);
        mm_finish_row(lane, s, out, row, (int64_t)c, 0);
    }
}

/* --- the table -------------------------------------------------------------------------- */

typedef void line_fn(const mm_lane *lane, const mm_step *s, int64_t y);
typedef void lines_fn(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end);

/* Steps that do better with several lines at once have a function for that. */
static const struct {
    line_fn *line;
    lines_fn *lines;
} FUNCTIONS[MM_OP_COUNT] = {
    [MM_OP_INPUT_F32] = {run_input_f32, NULL},
    [MM_OP_INPUT_U8] = {run_input_u8, NULL},
    [MM_OP_OUTPUT] = {run_output, NULL},
    [MM_OP_COPY] = {run_copy, NULL},
    [MM_OP_ZERO] = {run_zero, NULL},
    [MM_OP_CONV] = {NULL, mm_run_conv},
    [MM_OP_WINOGRAD] = {NULL, mm_run_winograd},
    [MM_OP_DEPTHWISE] = {NULL, mm_run_depthwise},
    [MM_OP_LINEAR] = {run_linear, NULL},
    [MM_OP_MAX_POOL] = {NULL, mm_run_max_pool},
    [MM_OP_AVG_POOL] = {NULL, mm_run_avg_pool},
    [MM_OP_GLOBAL_AVG_POOL] = {run_global_avg_pool, NULL},
    [MM_OP_ADD] = {run_binary, NULL},
    [MM_OP_MUL] = {run_binary, NULL},
    [MM_OP_FLATTEN] = {run_flatten, NULL},
    [MM_OP_SOFTMAX] = {run_softmax, NULL},
    [MM_OP_NEAREST] = {run_nearest, NULL},
    [MM_OP_BILINEAR] = {run_bilinear, NULL},
};

void mm_step_lines(const mm_lane *lane, const mm_step *s, int64_t y, int64_t end)
{
    if (FUNCTIONS[s->op].lines)
        FUNCTIONS[s->op].lines(lane, s, y, end);
    else
        for (; y < end; y++)
            FUNCTIONS[s->op].line(lane, s, y);
}

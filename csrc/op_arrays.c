/* op_arrays.c - between the caller's arrays and tensors. */
#include "check.h"
#include "lines.h"

/* Few enough for the second cache, enough for the memory to be in time. */
#define MM_LINES_AHEAD 16

/* The epilogue goes by the channels of the caller. */
static void input_f32_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &worker->program->tensors[s->output];
    const int64_t phases = s->column_phases ? 2 : 1, width = phases * t->width;
    const float *line = (const float *)worker->inputs[s->array] +
                        (worker->image * t->channels / phases * t->height + y) * width;
    for (int64_t c = 0; c < t->channels; c += phases, line += t->height * width) {
        float *row = mm_row(worker, t, y, c), *odd = row + t->row_stride;
        if (y + MM_LINES_AHEAD < t->height)
            for (int64_t x = 0; x < width; x += MM_LANES)
                MM_PREFETCH(line + MM_LINES_AHEAD * width + x);
        if (s->column_phases) {
            for (int64_t x = 0; x < t->width; x++) {
                row[x] = line[2 * x];
                odd[x] = line[2 * x + 1];
            }
            mm_finish_row(worker, s, t, odd, c / phases, 0);
        } else {
            memcpy(row, line, (size_t)width * sizeof *row);
        }
        mm_finish_row(worker, s, t, row, c / phases, 0);
    }
}

static void input_u8_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &worker->program->tensors[s->output];
    const uint8_t *line = (const uint8_t *)worker->inputs[s->array] +
                          (worker->image * t->height + y) * t->width * t->channels;
    const int64_t phases = s->column_phases ? 2 : 1;
    for (int64_t c = 0; c < t->channels; c++) {
        float *row = mm_row(worker, t, y, c);
        const uint8_t *first = line + c % phases * (t->channels / phases) + c / phases;
        for (int64_t x = 0; x < t->width; x++)
            row[x] = (float)first[x * t->channels] / 255.0f;
        mm_finish_row(worker, s, t, row, c / phases, 0);
    }
}

static void output_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *t = &worker->program->tensors[s->input];
    float *image = worker->outputs[s->array] + worker->image * t->channels * t->height * t->width;
    for (int64_t c = 0; c < t->channels; c++)
        memcpy(image + (c * t->height + y) * t->width, mm_row(worker, t, y, c),
               (size_t)t->width * sizeof *image);
}

MM_RUN_EACH_LINE(input_f32, input_f32_line)
MM_RUN_EACH_LINE(input_u8, input_u8_line)
MM_RUN_EACH_LINE(output, output_line)

int mm_check_input(const mm_operands *o)
{
    return mm_within(o->step->array, 1, o->program->input_count) &&
           (!o->step->column_phases || o->out->channels % 2 == 0);
}

int mm_check_output(const mm_operands *o)
{
    return mm_within(o->step->array, 1, o->program->output_count);
}

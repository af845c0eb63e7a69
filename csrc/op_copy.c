/* op_copy.c - operators that put elements elsewhere; only bilinear resizing computes. */
#include "check.h"
#include "lines.h"

/* memmove, since mm_check lets the tensors of a step overlap. */
static void copy_floats(float *to, const float *from, int64_t count)
{
    memmove(to, from, (size_t)count * sizeof *to);
}

static void copy_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    if (in->is_vector && in->width != out->width) { /* a part of a concatenation */
        float *row = mm_row(worker, out, 0, 0);
        copy_floats(row + s->at, mm_row(worker, in, 0, 0), in->width);
        mm_zero_padding(out, row, 0);
        return;
    }
    for (int64_t c = 0; c < in->channels; c++) {
        float *row = mm_row(worker, out, y, c + s->at);
        copy_floats(row, mm_row(worker, in, y, c), in->width);
        mm_finish_row(worker, s, out, row, c + s->at, 0);
    }
}

static void zero_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *out = &worker->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, y, c);
        memset(row, 0, (size_t)out->width * sizeof *row);
        mm_zero_padding(out, row, c);
    }
}

/* Tables hold the channel (feature) of the input that each of the output is. */
static void select_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int32_t *from = worker->program->tables + s->first_table;
    if (in->is_vector) {
        const float *a = mm_row(worker, in, 0, 0);
        float *row = mm_row(worker, out, 0, 0);
        for (int64_t x = 0; x < out->width; x++)
            row[x] = a[from[x]];
        mm_finish_row(worker, s, out, row, 0, 0);
        return;
    }
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, y, c);
        copy_floats(row, mm_row(worker, in, y, from[c]), out->width);
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

void mm_run_flatten(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    float *row = mm_row(worker, out, 0, 0), *p = row;
    (void)y, (void)end;
    for (int64_t c = 0; c < in->channels; c++)
        for (int64_t line = 0; line < in->height; line++, p += in->width)
            copy_floats(p, mm_row(worker, in, line, c), in->width);
    mm_finish_row(worker, s, out, row, 0, 0);
}

static void nearest_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int32_t *from = worker->program->tables + s->second_table;
    int64_t line = worker->program->tables[s->first_table + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = mm_row(worker, in, line, c);
        float *row = mm_row(worker, out, y, c);
        for (int64_t x = 0; x < out->width; x++)
            row[x] = a[from[x]];
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

/* Tables hold the two neighbours of each line (column), constants the weight of the second. */
static void bilinear_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_program *p = worker->program;
    const mm_tensor *in = &p->tensors[s->input], *out = &p->tensors[s->output];
    const int32_t *lines = p->tables + s->first_table + 2 * y;
    const int32_t *from = p->tables + s->second_table;
    const float *wx = p->constants + s->second_constant;
    const float wy = p->constants[s->first_constant + y];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *a = mm_row(worker, in, lines[0], c), *b = mm_row(worker, in, lines[1], c);
        float *row = mm_row(worker, out, y, c);
        for (int64_t x = 0; x < out->width; x++) {
            int32_t i = from[2 * x], j = from[2 * x + 1];
            float top = a[i] * (1.0f - wx[x]) + a[j] * wx[x];
            float bottom = b[i] * (1.0f - wx[x]) + b[j] * wx[x];
            row[x] = top * (1.0f - wy) + bottom * wy;
        }
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

MM_RUN_EACH_LINE(copy, copy_line)
MM_RUN_EACH_LINE(zero, zero_line)
MM_RUN_EACH_LINE(nearest, nearest_line)
MM_RUN_EACH_LINE(bilinear, bilinear_line)
MM_RUN_EACH_LINE(select, select_line)

int mm_check_copy(const mm_operands *o)
{
    const mm_tensor *in = o->in, *out = o->out;
    const int64_t at = o->step->at;
    if (in->is_vector != out->is_vector || at < 0)
        return 0;
    if (in->is_vector)
        return mm_within(at, in->width, out->width);
    return in->height == out->height && in->width == out->width &&
           mm_within(at, in->channels, out->channels);
}

int mm_check_zero(const mm_operands *o)
{
    (void)o;
    return 1;
}

int mm_check_flatten(const mm_operands *o)
{
    const mm_tensor *in = o->in;
    return o->out->is_vector &&
           mm_times(mm_times(in->channels, in->height), in->width) == o->out->width;
}

static int table_fits(const mm_program *p, int64_t offset, int64_t count, int32_t size)
{
    if (!mm_within(offset, count, p->table_count))
        return 0;
    for (int64_t i = 0; i < count; i++)
        if (p->tables[offset + i] < 0 || p->tables[offset + i] >= size)
            return 0;
    return 1;
}

int mm_check_select(const mm_operands *o)
{
    const mm_tensor *in = o->in, *out = o->out;
    const int64_t table = o->step->first_table;
    if (in->is_vector || out->is_vector)
        return in->is_vector && out->is_vector &&
               table_fits(o->program, table, out->width, (int32_t)in->width);
    return in->height == out->height && in->width == out->width &&
           table_fits(o->program, table, out->channels, (int32_t)in->channels);
}

void mm_measure_select(const mm_operands *o, mm_needs *needs)
{
    needs->tables = o->in->is_vector ? o->out->width : o->out->channels;
}

/* each: neighbours of a line (column) */
static int resize_fits(const mm_operands *o, int64_t each)
{
    const mm_tensor *in = o->in, *out = o->out;
    return mm_are_maps(in, out) && in->channels == out->channels &&
           table_fits(o->program, o->step->first_table, each * out->height, in->height) &&
           table_fits(o->program, o->step->second_table, each * out->width, in->width);
}

static int64_t resize_tables(const mm_operands *o, int64_t each)
{
    return each * ((int64_t)o->out->height + o->out->width);
}

int mm_check_nearest(const mm_operands *o) { return resize_fits(o, 1); }

void mm_measure_nearest(const mm_operands *o, mm_needs *needs)
{
    needs->tables = resize_tables(o, 1);
}

int mm_check_bilinear(const mm_operands *o)
{
    return resize_fits(o, 2) && mm_has_constants(o, o->step->first_constant, o->out->height) &&
           mm_has_constants(o, o->step->second_constant, o->out->width);
}

void mm_measure_bilinear(const mm_operands *o, mm_needs *needs)
{
    needs->tables = resize_tables(o, 2);
}

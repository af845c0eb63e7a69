/* fuzz_change.c - changes programs a little, most often where something just fits or not. */
#include "fuzz.h"

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
    int32_t *const fields[] = {&s->kernel_h,   &s->kernel_w,   &s->stride_h, &s->stride_w,
                               &s->dilation_h, &s->dilation_w, &s->pad_top,  &s->pad_left,
                               &s->groups,     &s->plane_in,   &s->plane_out};
    int32_t *field = fields[below(11)];
    if (one_in(4))
        change32(field);
    else
        *field = one_in(2) ? (int32_t)((uint32_t)*field + (uint32_t)between(1, 3)) : below(60);
}

static void change_step(draft_t *d, mm_step *s)
{
    mm_program *p = &d->p;
    int64_t *const in_parameters[] = {&s->weight, &s->bias,  &s->sign,        &s->slopes,
                                      &s->scale,  &s->shift, &s->weight_scale};
    int32_t *const numbers[] = {
        &s->op,       &s->array,         &s->activation, &s->pre_activation, &s->column_phases,
        &s->reversed, &s->axes[below(3)]};
    int windowed =
        s->op >= 0 && s->op < MM_OP_COUNT &&
        (mm_is_windowed(s->op) || s->op == MM_OP_PIXEL_SHUFFLE || s->op == MM_OP_MOMENTS);
    switch (below(windowed ? 12 : 7)) {
    case 0:
        change_operand(d, &s->output);
        break;
    case 1:
        change_operand(d, one_in(2) && s->second >= 0 ? &s->second : &s->input);
        break;
    case 2:
        if (one_in(7))
            change_offset(&s->quantized, p->quantized_count);
        else
            change_offset(in_parameters[below(7)], p->parameter_count);
        break;
    case 3:
        change_offset(one_in(2) ? &s->first_constant : &s->second_constant, p->constant_count);
        break;
    case 4:
        change_offset(one_in(2) ? &s->first_table : &s->second_table, p->table_count);
        break;
    case 5:
        change32(numbers[below(7)]);
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
    int64_t *const sizes[] = {&p->parameter_count, &p->constant_count,  &p->table_count,
                              &p->arena_floats,    &p->scratch_floats,  &p->max_list,
                              &p->ring_floats,     &p->quantized_count, &p->tensor_count,
                              &p->step_count,      &p->stage_count};
    int64_t *size = sizes[one_in(4) ? below(11) : below(8)];
    if (one_in(8))
        change32(one_in(2) ? &p->input_count : &p->output_count);
    else if (one_in(3))
        change64(size);
    else
        *size -= below(one_in(2) ? 3 : 40);
}

void change(draft_t *d, mm_step *focus)
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

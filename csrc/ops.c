/* ops.c - the table of operators, and what many of them share. */
#include "ops.h"

#define MM_ROW(NAME, inputs, outputs, lines, banded, check, measure, run)                          \
    [MM_OP_##NAME] = {#NAME,                                                                       \
                      inputs,                                                                      \
                      outputs,                                                                     \
                      mm_lines_##lines,                                                            \
                      mm_banded_##banded,                                                          \
                      mm_check_##check,                                                            \
                      mm_measure_##measure,                                                        \
                      mm_run_##run},
const mm_operator MM_OPS[MM_OP_COUNT] = {MM_OPERATORS(MM_ROW)};

const char *mm_op_name(int index)
{
    return index >= 0 && index < MM_OP_COUNT ? MM_OPS[index].name : NULL;
}

mm_operands mm_operands_of(const mm_program *p, const mm_step *s)
{
    return (mm_operands){
        .program = p,
        .step = s,
        .in = s->input >= 0 ? &p->tensors[s->input] : NULL,
        .second = s->second >= 0 ? &p->tensors[s->second] : NULL,
        .out = s->output >= 0 ? &p->tensors[s->output] : NULL,
    };
}

mm_range mm_lines_same(const mm_operands *o, int second, mm_range out)
{
    (void)o, (void)second;
    return out;
}

mm_range mm_lines_all(const mm_operands *o, int second, mm_range out)
{
    (void)out;
    return (mm_range){0, (second ? o->second : o->in)->height};
}

mm_range mm_lines_window(const mm_operands *o, int second, mm_range out)
{
    const mm_step *s = o->step;
    (void)second;
    return (mm_range){
        out.start * s->stride_h - s->pad_top,
        (out.end - 1) * s->stride_h - s->pad_top + (int64_t)(s->kernel_h - 1) * s->dilation_h + 1,
    };
}

int mm_banded_never(const mm_operands *o)
{
    (void)o;
    return 0;
}

int mm_banded_maps(const mm_operands *o) { return !o->out->is_vector; }

void mm_measure_nothing(const mm_operands *o, mm_needs *needs) { (void)o, (void)needs; }

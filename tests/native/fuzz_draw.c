/* fuzz_draw.c - draws programs that are right. */
#include "fuzz.h"

/* Shapes are drawn one number after the other: compilers differ in the order of arguments. */
static int32_t new_vector(draft_t *d, int32_t most)
{
    return new_tensor(d, 1, 1, between(1, most), 1);
}
static int32_t new_map(draft_t *d, int32_t channels)
{
    int32_t height = between(1, 9), width = between(1, 40);
    return new_tensor(d, channels, height, width, 0);
}

static int32_t like(draft_t *d, int32_t tensor)
{
    const mm_tensor *t = &d->tensors[tensor];
    return new_tensor(d, t->channels, t->height, t->width, t->is_vector);
}

static int64_t new_parameters(draft_t *d, int64_t count)
{
    d->p.parameter_count += count;
    return d->p.parameter_count - count;
}
/* Weights of so many output channels: bytes, where that can be, as often as floats. */
static void new_weights(draft_t *d, mm_step *s, int64_t outputs, int64_t taps)
{
    const int64_t count = outputs * taps;
    if (outputs % MM_BLOCK || s->groups > 1 || one_in(2)) {
        s->weight = new_parameters(d, count);
        return;
    }
    s->quantized = d->p.quantized_count;
    d->p.quantized_count += count + MM_LANES;
    s->weight_scale = new_parameters(d, outputs);
}
static int64_t new_constants(draft_t *d, int64_t count)
{
    d->p.constant_count += mm_round_lanes(count);
    return d->p.constant_count - mm_round_lanes(count);
}
static int64_t new_table(draft_t *d, int32_t count, int32_t size)
{
    for (int32_t i = 0; i < count; i++)
        d->tables[d->p.table_count++] = below(size);
    return d->p.table_count - count;
}

static mm_step *new_step(draft_t *d, int32_t op, int32_t input, int32_t output)
{
    mm_step *s = &d->steps[d->p.step_count++];
    *s = (mm_step){.op = op,
                   .input = input,
                   .second = -1,
                   .output = output,
                   .weight = -1,
                   .quantized = -1,
                   .weight_scale = -1,
                   .bias = -1,
                   .sign = -1,
                   .first_table = -1,
                   .second_table = -1,
                   .first_constant = -1,
                   .second_constant = -1,
                   .activation = MM_NO_ACTIVATION,
                   .pre_activation = MM_NO_ACTIVATION,
                   .slopes = -1,
                   .scale = -1,
                   .shift = -1};
    /* of a step without a kernel they are ignored, whatever they are; others are given theirs */
    int8_t ignored[2];
    fill(ignored, sizeof ignored);
    s->kernel_h = ignored[0] / 4, s->kernel_w = ignored[1] / 16;
    if (output < 0 || one_in(2))
        return s;
    const mm_tensor *t = &d->tensors[output];
    int64_t count = t->is_vector ? mm_round_lanes(t->width) : t->channels;
    s->activation = between(MM_NO_ACTIVATION, MM_ACTIVATION_COUNT - 1);
    s->slope = 0.25f;
    if (one_in(3))
        s->slopes = new_parameters(d, count);
    if (one_in(3)) {
        s->scale = new_parameters(d, count);
        s->shift = new_parameters(d, count);
    }
    return s;
}

static int32_t new_input(draft_t *d, int32_t op, int32_t tensor)
{
    mm_step *s = new_step(d, op, -1, tensor);
    s->array = d->p.input_count++;
    s->column_phases = d->tensors[tensor].channels % 2 == 0 && one_in(2);
    return tensor;
}

/* A tensor that some step has written: an older one, or a new input.  vector: 1, 0, or -1: any */
static int32_t source(draft_t *d, int vector)
{
    int32_t start = d->p.tensor_count ? below((int32_t)d->p.tensor_count) : 0;
    for (int32_t i = start; i < d->p.tensor_count && !one_in(3); i++)
        if (d->tensors[i].ring < 0 && (vector < 0 || d->tensors[i].is_vector == vector))
            return i;
    int32_t op = one_in(3) ? MM_OP_INPUT_U8 : MM_OP_INPUT_F32;
    if (vector < 0)
        vector = one_in(4);
    return new_input(d, op, vector ? new_vector(d, 50) : new_map(d, between(1, 7)));
}

static void draw_copy(draft_t *d)
{
    int32_t in = source(d, -1), at = 0, out;
    mm_tensor t = d->tensors[in];
    if (one_in(2)) {
        out = like(d, in);
    } else { /* a part of a concatenation */
        at = below(4);
        out = t.is_vector ? new_tensor(d, 1, 1, t.width + at + below(4), 1)
                          : new_tensor(d, t.channels + at + below(3), t.height, t.width, 0);
        new_step(d, MM_OP_ZERO, -1, out);
    }
    new_step(d, MM_OP_COPY, in, out)->at = at;
}

static void need_scratch(draft_t *d, int64_t floats)
{
    if (d->p.scratch_floats < floats)
        d->p.scratch_floats = floats;
}

static void need_list(draft_t *d, int64_t length)
{
    if (d->p.max_list < length)
        d->p.max_list = length;
}

/* What the engine says that the last step needs. */
static void measure(draft_t *d)
{
    const mm_needs needs = needs_of(d, d->p.step_count - 1);
    need_scratch(d, needs.scratch_floats);
    need_list(d, needs.max_list);
    if (needs.zeros)
        d->steps[d->p.step_count - 1].first_constant = new_constants(d, needs.zeros);
}

static void draw_winograd(draft_t *d, int32_t in)
{
    mm_tensor t = d->tensors[in];
    int32_t kernel_w = between(1, 5), pad_left = below(5);
    int32_t width = pad_left + t.width + below(5) - kernel_w + 1;
    if (width < 1) {
        kernel_w = 1;
        width = t.width;
    }
    int32_t height = between(1, 12), filters = between(1, 7);
    mm_step *s = new_step(d, MM_OP_WINOGRAD, in, new_tensor(d, filters, height, width, 0));
    s->kernel_h = 3 + 2 * below(3), s->kernel_w = kernel_w;
    s->stride_h = s->stride_w = s->dilation_w = s->groups = 1;
    s->dilation_h = between(1, 3);
    s->pad_top = below(4), s->pad_left = pad_left;
    s->weight = new_parameters(d, MM_WINOGRAD_POINTS * filters * t.channels * kernel_w);
    s->bias = new_parameters(d, filters);
    measure(d);
}

static void draw_depthwise(draft_t *d, int32_t in)
{
    mm_tensor t = d->tensors[in];
    int32_t stride = between(1, 2), pad_left = below(5), height = between(1, 12);
    int32_t kernel = stride == 2 && one_in(3) ? 4 : 3 + 2 * below(2); /* 4: with a pool */
    int32_t left = pad_left + t.width + below(5) - kernel;
    int32_t width = left < 0 ? 0 : left / stride + 1;
    if (width < 1) {
        pad_left = kernel - 1;
        width = 1;
    }
    mm_step *s = new_step(d, MM_OP_DEPTHWISE, in, new_tensor(d, t.channels, height, width, 0));
    s->kernel_h = s->kernel_w = kernel;
    s->stride_h = s->stride_w = stride;
    s->dilation_h = s->dilation_w = s->groups = 1;
    s->pad_top = below(4), s->pad_left = pad_left;
    s->weight = new_parameters(d, (kernel == 5 ? 25 : 9) * t.channels);
    s->bias = new_parameters(d, t.channels);
    measure(d);
}

/* Planes of so many channels and lines of them. */
static int32_t new_planes(draft_t *d, int32_t channels, int32_t lines, int32_t floats)
{
    return new_tensor(d, channels, lines, floats, 0);
}

static int32_t draw_pointwise(draft_t *d)
{
    int32_t in = source(d, 0), channels = MM_BLOCK * between(1, 3), lines = between(1, 4);
    const mm_tensor t = d->tensors[in];
    int32_t out = new_planes(d, channels, lines, t.width);
    mm_step *s = new_step(d, MM_OP_POINTWISE, in, out);
    s->slopes = s->scale = s->shift = -1;
    new_weights(d, s, channels * lines, t.channels * t.height);
    s->bias = new_parameters(d, channels * lines);
    measure(d);
    return out;
}

/* From a map; or from planes, which in a chain are a ring that a pointwise step makes. */
static void draw_depthwise_planes(draft_t *d)
{
    static const int32_t widths[] = {4, 8, 16, 32};
    int32_t in, channels, lines, plane_in = 0, width, pad_left = below(4);
    if (one_in(2)) {
        lines = between(1, 3);
        in = new_input(d, MM_OP_INPUT_F32, new_map(d, lines * between(1, 4)));
        channels = d->tensors[in].channels / lines;
        width = d->tensors[in].width;
    } else {
        const int chained = !d->chain_count && one_in(2);
        in = chained ? draw_pointwise(d) : source(d, 0);
        if (chained) {
            d->chain = d->p.step_count - 1;
            d->chain_count = 2;
            d->tensors[in].ring = 0;
            d->tensors[in].line_mask = 63;
        }
        const mm_tensor t = d->tensors[in];
        channels = t.channels;
        lines = t.height;
        for (plane_in = between(1, 20); t.width % plane_in;)
            plane_in--;
        width = plane_in;
    }
    int32_t stride = between(1, 2), kernel = 3 + 2 * below(2), plane_out = widths[below(4)];
    while (!plane_in && plane_out > 4 &&
           (plane_out - 1) * stride + kernel - pad_left - width > MM_LANES)
        plane_out /= 2;
    int32_t out = new_planes(d, channels, lines, plane_out * between(1, 9));
    mm_step *s = new_step(d, MM_OP_DEPTHWISE_PLANES, in, out);
    s->slopes = s->scale = s->shift = -1;
    s->kernel_h = s->kernel_w = kernel;
    s->stride_h = s->stride_w = stride;
    s->dilation_h = s->dilation_w = s->groups = 1;
    s->pad_top = below(4), s->pad_left = pad_left;
    s->plane_in = plane_in, s->plane_out = plane_out;
    s->weight = new_parameters(d, kernel * kernel * channels * lines);
    s->bias = new_parameters(d, channels * lines);
    measure(d);
}

static int random_valley(void)
{
#define VALLEY(NAME, name) MM_##NAME,
    static const int some[] = {MM_VALLEY_ACTIVATIONS(VALLEY) MM_NO_ACTIVATION};
#undef VALLEY
    return some[below(sizeof some / sizeof *some)];
}

static void draw_window(draft_t *d, int32_t op, int32_t in)
{
    int32_t row_padding = (int32_t)mm_row_padding(&d->tensors[in]);
    mm_tensor t = d->tensors[in];
    int32_t kernel_h = between(1, 4), kernel_w = between(1, 5), dilation_h = between(1, 3);
    int32_t dilation_w = between(1, 3), stride_h = between(1, 3);
    int32_t stride_w = one_in(4) ? between(1, 40) : between(1, 4);
    int32_t pad_top = below(4), pad_left = one_in(4) && op == MM_OP_CONV ? row_padding : below(5);
    int32_t left = pad_left + t.width + below(op == MM_OP_CONV ? row_padding + 1 : 5) -
                   (kernel_w - 1) * dilation_w - 1;
    int32_t width = left < 0 ? 0 : left / stride_w + 1;
    int is_plain = 0;
    int32_t height = one_in(8) ? between(1, 12) : (t.height + 2 * pad_top - 1) / stride_h + 1;
    if (width < 1) { /* the window of one element fits always */
        kernel_w = 1;
        width = (pad_left + t.width - 1) / stride_w + 1;
    }
    if (op == MM_OP_MAX_POOL && one_in(2) && t.width > 3 && t.height > 3) { /* the usual pool */
        kernel_h = kernel_w = stride_w = one_in(2) ? 4 : 2;
        dilation_h = dilation_w = 1;
        pad_top = pad_left = 0;
        width = t.width / kernel_w;
        height = (t.height - kernel_h) / stride_h + 1;
        is_plain = kernel_h <= t.height && width > 0;
    }
    int32_t groups = op == MM_OP_CONV && t.channels % 2 == 0 && one_in(2) ? 2 : 1;
    int split = groups == 2 && one_in(2); /* its columns are twice as many: the padding is enough */
    if (split) {
        groups = 1;
        stride_w = 2;
        width = (pad_left + 2 * t.width - (kernel_w - 1) * dilation_w - 1) / 2 + 1;
        if (width < 1) {
            kernel_w = 1;
            width = t.width;
        }
    }
    int32_t filters = op == MM_OP_CONV ? groups * between(1, 7) : t.channels;
    if (op == MM_OP_CONV && groups == 1 && one_in(8))
        filters = 96 + below(8); /* from so many on some join lines */
    mm_step *s = new_step(d, op, in, new_tensor(d, filters, height, width, 0));
    s->kernel_h = kernel_h, s->kernel_w = kernel_w;
    s->stride_h = stride_h, s->stride_w = stride_w;
    s->dilation_h = dilation_h, s->dilation_w = dilation_w;
    s->pad_top = pad_top, s->pad_left = pad_left;
    s->groups = groups;
    s->column_phases = split;
    if (op == MM_OP_CONV) {
        new_weights(d, s, filters, t.channels / groups * kernel_h * kernel_w);
        s->bias = new_parameters(d, filters);
    }
    measure(d);
    if (op == MM_OP_MAX_POOL && one_in(2))
        s->sign = new_parameters(d, t.channels);
    if (is_plain && one_in(2))
        s->pre_activation = random_valley();
    if (op == MM_OP_AVG_POOL) {
        s->first_constant = new_constants(d, height);
        s->second_constant = new_constants(d, width);
    }
}

static void draw_binary(draft_t *d, int32_t op)
{
    int32_t in = source(d, -1), second = in;
    mm_tensor t = d->tensors[in];
    if (!t.is_vector && one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, new_tensor(d, t.channels, 1, 1, 0));
    else if (one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, like(d, in));
    else if (op == MM_OP_ADD && t.height % 2 == 0 && t.width % 2 == 0)
        second =
            new_input(d, MM_OP_INPUT_F32, new_tensor(d, t.channels, t.height / 2, t.width / 2, 0));
    new_step(d, op, in, like(d, in))->second = second;
}

/* What is not commutative takes a factor on either side. */
static void draw_ordered(draft_t *d, int32_t op)
{
    int32_t in = source(d, -1), second = in;
    mm_tensor t = d->tensors[in];
    if (!t.is_vector && one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, new_tensor(d, t.channels, 1, 1, 0));
    else if (one_in(2))
        second = new_input(d, MM_OP_INPUT_F32, like(d, in));
    mm_step *s = new_step(d, op, in, like(d, in));
    s->second = second;
    s->reversed = one_in(2);
    measure(d);
}

static void draw_clamp(draft_t *d, int32_t in)
{
    mm_step *s = new_step(d, MM_OP_CLAMP, in, like(d, in));
    s->low = (float)below(3) - 1.0f;
    s->high = (float)below(3);
}

static void draw_reshape(draft_t *d)
{
    int32_t in = source(d, -1);
    mm_tensor t = d->tensors[in];
    int32_t count = t.channels * t.height * t.width, channels = between(1, 6);
    while (count % channels)
        channels--;
    int32_t height = between(1, 9), vector = one_in(3);
    while (count / channels % height)
        height--;
    int32_t out = vector ? new_tensor(d, 1, 1, count, 1)
                         : new_tensor(d, channels, height, count / channels / height, 0);
    new_step(d, MM_OP_RESHAPE, in, out);
}

static void draw_permute(draft_t *d)
{
    static const int32_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    int32_t in = source(d, 0);
    mm_tensor t = d->tensors[in];
    const int32_t sizes[3] = {t.channels, t.height, t.width}, *axes = orders[below(6)];
    int32_t out = new_tensor(d, sizes[axes[0]], sizes[axes[1]], sizes[axes[2]], 0);
    memcpy(new_step(d, MM_OP_PERMUTE, in, out)->axes, axes, 3 * sizeof *axes);
}

static void draw_pixel_shuffle(draft_t *d)
{
    int32_t height = between(1, 3), width = between(1, 3), channels = between(1, 3);
    int32_t in = new_input(d, MM_OP_INPUT_F32, new_map(d, channels * height * width));
    mm_tensor t = d->tensors[in];
    int32_t top = below(t.height * height), left = below(t.width * width);
    int32_t lines = between(1, t.height * height - top);
    int32_t columns = between(1, t.width * width - left);
    mm_step *s = new_step(d, MM_OP_PIXEL_SHUFFLE, in, new_tensor(d, channels, lines, columns, 0));
    s->stride_h = height;
    s->stride_w = width;
    s->pad_top = top;
    s->pad_left = left;
}

static void draw_argmax(draft_t *d)
{
    int32_t in = source(d, -1);
    mm_tensor t = d->tensors[in];
    int32_t out = t.is_vector ? new_tensor(d, 1, 1, 1, 1) : new_tensor(d, 1, t.height, t.width, 0);
    new_step(d, MM_OP_ARGMAX, in, out);
    measure(d);
}

static int32_t draw_moments(draft_t *d, int32_t in)
{
    mm_tensor t = d->tensors[in];
    int32_t count = t.is_vector ? t.width : t.channels, groups = between(1, 9);
    while (count % groups)
        groups--;
    int32_t out = new_tensor(d, groups, 1, 3, 0);
    mm_step *s = new_step(d, MM_OP_MOMENTS, in, out);
    s->groups = groups;
    s->low = 0.25f;
    measure(d);
    return out;
}

static void draw_normalize(draft_t *d)
{
    int32_t in = source(d, -1), moments = draw_moments(d, in);
    mm_tensor t = d->tensors[in];
    int32_t count = t.is_vector ? t.width : t.channels;
    mm_step *s = new_step(d, MM_OP_NORMALIZE, in, like(d, in));
    s->second = moments;
    s->first_constant = new_constants(d, count);
    s->second_constant = new_constants(d, count);
}

static void draw_layer_norm(draft_t *d)
{
    int32_t in = source(d, 0), channels = d->tensors[in].channels;
    mm_step *s = new_step(d, MM_OP_LAYER_NORM, in, like(d, in));
    s->low = 0.25f;
    s->first_constant = new_constants(d, channels);
    s->second_constant = new_constants(d, channels);
}

static void draw_softmax(draft_t *d)
{
    int32_t in = source(d, -1);
    new_step(d, MM_OP_SOFTMAX, in, like(d, in));
    measure(d);
}

static void draw_resize(draft_t *d, int32_t op)
{
    int32_t in = source(d, 0), each = op == MM_OP_BILINEAR ? 2 : 1;
    mm_tensor t = d->tensors[in];
    int32_t height = between(1, 9), width = between(1, 35);
    mm_step *s = new_step(d, op, in, new_tensor(d, t.channels, height, width, 0));
    s->first_table = new_table(d, each * height, t.height);
    s->second_table = new_table(d, each * width, t.width);
    if (each == 2) {
        s->first_constant = new_constants(d, height);
        s->second_constant = new_constants(d, width);
    }
}

static void draw_select(draft_t *d)
{
    int32_t in = source(d, -1), count = between(1, 9);
    mm_tensor t = d->tensors[in];
    int32_t out = t.is_vector ? new_vector(d, count) : new_tensor(d, count, t.height, t.width, 0);
    mm_step *s = new_step(d, MM_OP_SELECT, in, out);
    count = (int32_t)(t.is_vector ? d->tensors[out].width : d->tensors[out].channels);
    s->first_table = new_table(d, count, (int32_t)(t.is_vector ? t.width : t.channels));
}

/* What may stand in a chain. */
static void draw_linked(draft_t *d, int32_t op, int32_t in)
{
    if (op == MM_OP_CLAMP)
        draw_clamp(d, in);
    else if (op == MM_OP_WINOGRAD)
        draw_winograd(d, in);
    else if (op == MM_OP_DEPTHWISE)
        draw_depthwise(d, in);
    else
        draw_window(d, op, in);
}

/* Two to four steps of one stage, the last of them `op`; what passes between is a ring. */
static void draw_chain(draft_t *d, int32_t op)
{
    static const int32_t before[] = {MM_OP_CONV,     MM_OP_WINOGRAD, MM_OP_DEPTHWISE,
                                     MM_OP_MAX_POOL, MM_OP_AVG_POOL, MM_OP_CLAMP};
    int32_t in = source(d, 0), count = between(1, 3);
    d->chain = d->p.step_count;
    d->chain_count = count + 1;
    for (int32_t i = 0; i < count; i++) {
        draw_linked(d, before[below(6)], in);
        in = (int32_t)d->p.tensor_count - 1;
        d->tensors[in].ring = i;
        d->tensors[in].line_mask = 63; /* higher than any map here: no line is lost */
    }
    draw_linked(d, op, in);
}

static void draw_step(draft_t *d, int32_t op)
{
    int32_t in;
    mm_step *s;
    switch (op) {
    case MM_OP_INPUT_F32:
    case MM_OP_INPUT_U8:
        new_input(d, op, one_in(4) ? new_vector(d, 40) : new_map(d, between(1, 4)));
        return;
    case MM_OP_OUTPUT:
        new_step(d, op, source(d, -1), -1)->array = d->p.output_count;
        d->p.output_count++;
        return;
    case MM_OP_COPY:
        draw_copy(d);
        return;
    case MM_OP_ZERO:
        new_step(d, op, -1, new_map(d, between(1, 4)));
        return;
    case MM_OP_SELECT:
        draw_select(d);
        return;
    case MM_OP_CONV:
    case MM_OP_WINOGRAD:
    case MM_OP_DEPTHWISE:
    case MM_OP_MAX_POOL:
    case MM_OP_AVG_POOL:
        if (!d->chain_count && one_in(2))
            draw_chain(d, op);
        else
            draw_linked(d, op, source(d, 0));
        return;
    case MM_OP_POINTWISE:
        draw_pointwise(d);
        return;
    case MM_OP_DEPTHWISE_PLANES:
        draw_depthwise_planes(d);
        return;
    case MM_OP_LINEAR:
        in = source(d, 1);
        s = new_step(d, op, in, new_vector(d, 40));
        s->weight =
            new_parameters(d, mm_round_lanes(d->tensors[s->output].width) * d->tensors[in].width);
        s->bias = new_parameters(d, mm_round_lanes(d->tensors[s->output].width));
        return;
    case MM_OP_GLOBAL_AVG_POOL:
        in = source(d, 0);
        if (one_in(2)) {
            const mm_tensor t = d->tensors[in];
            new_step(d, op, in, new_tensor(d, t.channels * t.height, 1, 1, 0))->plane_in = 1;
            return;
        }
        new_step(d, op, in, new_tensor(d, d->tensors[in].channels, 1, 1, 0));
        return;
    case MM_OP_ADD:
    case MM_OP_MUL:
        draw_binary(d, op);
        return;
    case MM_OP_FLATTEN:
        in = source(d, -1);
        new_step(d, op, in,
                 new_tensor(d, 1, 1,
                            d->tensors[in].channels * d->tensors[in].height * d->tensors[in].width,
                            1));
        return;
    case MM_OP_SOFTMAX:
        draw_softmax(d);
        return;
    case MM_OP_NEAREST:
    case MM_OP_BILINEAR:
        draw_resize(d, op);
        return;
    case MM_OP_SUB:
    case MM_OP_DIV:
        draw_ordered(d, op);
        return;
    case MM_OP_CLAMP:
        draw_clamp(d, source(d, -1));
        return;
    case MM_OP_RESHAPE:
        draw_reshape(d);
        return;
    case MM_OP_PERMUTE:
        draw_permute(d);
        return;
    case MM_OP_PIXEL_SHUFFLE:
        draw_pixel_shuffle(d);
        return;
    case MM_OP_MOMENTS:
        draw_moments(d, source(d, -1));
        return;
    case MM_OP_NORMALIZE:
        draw_normalize(d);
        return;
    case MM_OP_LAYER_NORM:
        draw_layer_norm(d);
        return;
    case MM_OP_ARGMAX:
        draw_argmax(d);
        return;
    default:
        printf("%s: nobody here draws it\n", mm_op_name(op));
        exit(2);
    }
}

mm_step *draw(draft_t *d, int32_t op)
{
    *d = (draft_t){.p = {.max_list = below(2)}};
    if (one_in(3))
        draw_step(d, below(MM_OP_COUNT));
    draw_step(d, op);
    mm_step *focus = &d->steps[d->p.step_count - 1];
    if (one_in(4))
        draw_step(d, below(MM_OP_COUNT));
    new_step(d, MM_OP_OUTPUT, (int32_t)d->p.tensor_count - 1, -1)->array = d->p.output_count;
    d->p.output_count++;
    return focus;
}

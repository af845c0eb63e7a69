/* op_order.c - operators that put the elements of a tensor in another order. */
#include "check.h"
#include "lines.h"

/* Runs of elements that lie side by side on both sides. */
static void reshape_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, y, c);
        int64_t from = (c * out->height + y) * out->width, done = 0;
        while (done < out->width) {
            int64_t x = from % in->width, line = from / in->width;
            int64_t count = mm_smaller(in->width - x, out->width - done);
            const float *run = mm_row(worker, in, line % in->height, line / in->height) + x;
            memmove(row + done, run, (size_t)count * sizeof *row);
            done += count;
            from += count;
        }
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

static void permute_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t strides[3] = {in->row_stride, in->line_stride, 1};
    const int64_t step = strides[s->axes[2]];
    for (int64_t c = 0; c < out->channels; c++) {
        const float *from =
            mm_row(worker, in, 0, 0) + c * strides[s->axes[0]] + y * strides[s->axes[1]];
        float *row = mm_row(worker, out, y, c);
        for (int64_t x = 0; x < out->width; x++)
            row[x] = from[x * step];
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

static void pixel_shuffle_line(const mm_worker *worker, const mm_step *s, int64_t y)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int64_t width = s->stride_w, block = (int64_t)s->stride_h * width;
    const int64_t line = (y + s->pad_top) / s->stride_h, part = (y + s->pad_top) % s->stride_h;
    for (int64_t c = 0; c < out->channels; c++) {
        float *row = mm_row(worker, out, y, c);
        for (int64_t k = 0; k < width; k++) {
            const float *from = mm_row(worker, in, line, c * block + part * width + k);
            int64_t first = s->pad_left > k ? (s->pad_left - k + width - 1) / width : 0;
            for (int64_t i = first, x = first * width + k - s->pad_left; x < out->width;
                 i++, x += width)
                row[x] = from[i];
        }
        mm_finish_row(worker, s, out, row, c, 0);
    }
}

MM_RUN_EACH_LINE(reshape, reshape_line)
MM_RUN_EACH_LINE(permute, permute_line)
MM_RUN_EACH_LINE(pixel_shuffle, pixel_shuffle_line)

static int64_t elements_of(const mm_tensor *t)
{
    return mm_times(mm_times(t->channels, t->height), t->width);
}

int mm_check_reshape(const mm_operands *o) { return elements_of(o->in) == elements_of(o->out); }

int mm_check_permute(const mm_operands *o)
{
    const int32_t before[3] = {o->in->channels, o->in->height, o->in->width};
    const int32_t after[3] = {o->out->channels, o->out->height, o->out->width};
    int seen = 0;
    for (int i = 0; i < 3; i++) {
        int32_t axis = o->step->axes[i];
        if (axis < 0 || axis > 2 || before[axis] != after[i])
            return 0;
        seen |= 1 << axis;
    }
    return seen == 7 && mm_are_maps(o->in, o->out);
}

int mm_check_pixel_shuffle(const mm_operands *o)
{
    const mm_step *s = o->step;
    const mm_tensor *in = o->in, *out = o->out;
    return mm_are_maps(in, out) && mm_is_dim(s->stride_h, 1) && mm_is_dim(s->stride_w, 1) &&
           mm_is_dim(s->pad_top, 0) && mm_is_dim(s->pad_left, 0) &&
           mm_times(out->channels, mm_times(s->stride_h, s->stride_w)) == in->channels &&
           (int64_t)out->height + s->pad_top <= mm_times(in->height, s->stride_h) &&
           (int64_t)out->width + s->pad_left <= mm_times(in->width, s->stride_w);
}

/* a / b for b > 0, but not towards zero where a lies above the picture */
static int64_t rounded_down(int64_t a, int64_t b) { return a / b - (a % b < 0); }

mm_range mm_lines_shuffle(const mm_operands *o, int second, mm_range out)
{
    const mm_step *s = o->step;
    (void)second;
    return (mm_range){rounded_down(out.start + s->pad_top, s->stride_h),
                      rounded_down(out.end - 1 + s->pad_top, s->stride_h) + 1};
}

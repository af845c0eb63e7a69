/* op_pool.c - pools.  The arithmetic is in max_pool.inc and rows.inc. */
#include <math.h>

#include "taps.h"

/* The usual pool, for which there is a kernel of its own (max_pool.inc). */
static int is_plain(const mm_step *s, const mm_tensor *in, const mm_tensor *out)
{
    return s->op == MM_OP_MAX_POOL && (s->kernel_w == 2 || s->kernel_w == 4) &&
           s->kernel_h == s->kernel_w && s->stride_w == s->kernel_w && s->dilation_h == 1 &&
           s->dilation_w == 1 && s->pad_top == 0 && s->pad_left == 0 &&
           (int64_t)out->width * s->kernel_w <= in->width &&
           (int64_t)(out->height - 1) * s->stride_h + s->kernel_h <= in->height;
}

/* Input rows of the window of output line y, into worker->rows; returns how many. */
static int64_t window_rows(const mm_worker *worker, const mm_step *s, int64_t y, int64_t channel)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    int64_t start = y * s->stride_h - s->pad_top, first, end;
    mm_clip_window(start, s->kernel_h, s->dilation_h, in->height, &first, &end);
    for (int64_t r = first; r < end; r++)
        worker->rows[r - first] = mm_row(worker, in, start + r * s->dilation_h, channel);
    return end - first;
}

/* A pool is separable: the lines of the window are folded into one row of scratch with its
   padding around it, and the window then slides along that row. */
static void pool_rows(const mm_worker *worker, const mm_step *s, int64_t count, float fill,
                      mm_fold_fn *fold, mm_slide_fn *slide, float *out_row)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    int64_t before = s->pad_left, behind = before + (count ? in->width : 0);
    int64_t needed =
        (int64_t)(out->width - 1) * s->stride_w + (int64_t)(s->kernel_w - 1) * s->dilation_w + 1;
    if (count)
        fold(worker->rows, (size_t)count, worker->scratch + before, (size_t)in->width);
    for (int64_t x = 0; x < before; x++)
        worker->scratch[x] = fill;
    for (int64_t x = behind; x < needed; x++)
        worker->scratch[x] = fill;
    slide(worker->scratch, out_row, (size_t)out->width, (size_t)s->kernel_w, (size_t)s->stride_w,
          (size_t)s->dilation_w);
}

/* The usual pool, with all of its epilogue where the kernel can. */
static void run_plain_pool(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const int fused = mm_is_fused(s);
    mm_window w = {
        .rows = worker->rows,
        .out = NULL,
        .width = (size_t)out->width,
        .kernel = s->kernel_w,
        .smallest = 0,
        .pre_activation = s->pre_activation,
        .activation = fused ? s->activation : MM_NO_ACTIVATION,
        .affine = fused && s->scale >= 0,
        .slope = s->slope,
        .scale = 1.0f,
        .shift = 0.0f,
    };
    const float *sign = s->sign >= 0 ? mm_parameter(worker, s->sign) : NULL;
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            for (int64_t r = 0; r < s->kernel_h; r++)
                worker->rows[r] = mm_row(worker, in, y * s->stride_h + r, c);
            w.out = mm_row(worker, out, y, c);
            w.smallest = sign && sign[c] < 0.0f;
            if (w.affine) {
                w.scale = mm_parameter(worker, s->scale)[c];
                w.shift = mm_parameter(worker, s->shift)[c];
            }
            worker->kernels->max_pool(&w);
            if (fused)
                mm_zero_padding(out, w.out, c);
            else
                mm_finish_row(worker, s, out, w.out, c, 0);
        }
}

void mm_run_max_pool(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *in = &worker->program->tensors[s->input];
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_kernels *k = worker->kernels;
    if (is_plain(s, in, out)) {
        run_plain_pool(worker, s, y, end);
        return;
    }
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            int64_t count = window_rows(worker, s, y, c);
            float *row = mm_row(worker, out, y, c);
            if (s->sign >= 0 && mm_parameter(worker, s->sign)[c] < 0.0f)
                pool_rows(worker, s, count, INFINITY, k->fold_min, k->slide_min, row);
            else
                pool_rows(worker, s, count, -INFINITY, k->fold_max, k->slide_max, row);
            mm_finish_row(worker, s, out, row, c, 0);
        }
}

void mm_run_avg_pool(const mm_worker *worker, const mm_step *s, int64_t y, int64_t end)
{
    const mm_tensor *out = &worker->program->tensors[s->output];
    const mm_kernels *k = worker->kernels;
    const float *constants = worker->program->constants;
    for (; y < end; y++)
        for (int64_t c = 0; c < out->channels; c++) {
            float *row = mm_row(worker, out, y, c);
            int64_t count = window_rows(worker, s, y, c);
            pool_rows(worker, s, count, 0.0f, k->fold_sum, k->slide_sum, row);
            k->mul(row, constants + s->second_constant, row, (size_t)out->width);
            k->affine(row, row, (size_t)out->width, constants[s->first_constant + y], 0.0f);
            mm_finish_row(worker, s, out, row, c, 0);
        }
}

static int pool_fits(const mm_operands *o)
{
    return mm_window_fits(o->step) && mm_are_maps(o->in, o->out) &&
           o->in->channels == o->out->channels;
}

int mm_check_max_pool(const mm_operands *o)
{
    const mm_step *s = o->step;
    if (!pool_fits(o))
        return 0;
    if (s->pre_activation != MM_NO_ACTIVATION &&
        !(mm_activation_is_valley(s->pre_activation) && is_plain(s, o->in, o->out)))
        return 0;
    return s->sign == -1 || mm_has_parameters(o, s->sign, o->out->channels);
}

int mm_check_avg_pool(const mm_operands *o)
{
    return pool_fits(o) && mm_has_constants(o, o->step->first_constant, o->out->height) &&
           mm_has_constants(o, o->step->second_constant, mm_round_lanes(o->out->width));
}

/* A list of rows, and scratch for the folded row with its padding, as far as vector loads go. */
void mm_measure_pool(const mm_operands *o, mm_needs *needs)
{
    const mm_step *s = o->step;
    int64_t slid = mm_times(mm_round_lanes(o->out->width), s->stride_w) +
                   mm_times(s->kernel_w - 1, s->dilation_w) + MM_SLACK;
    needs->max_list = s->kernel_h;
    needs->scratch_floats =
        mm_round_lanes(mm_larger(slid, mm_round_lanes(o->in->width) + s->pad_left));
}

/* fuzz_run.c - runs a program in every way: with arena, scratch and rows in allocations of their
   own (program.c is included for that: inside one workspace they are neighbours), then through
   mm_run. */
#include "program.c"

#include "fuzz.h"

#define MAX_FLOATS (1 << 18) /* of any one block that a program may ask for */
#define MAX_WORK 3e5 /* multiplications of one image: a changed program may loop for hours */

long differences, backwards;
static mm_pool *pools[POOLS];
static long current; /* number of the program */

/* What it is said to cost to begin in the middle of a stage: no more than all of it, whatever
   stands in steps, or threads would share out pieces that there are not. */
static int losses_fit(const mm_program *p)
{
    for (int64_t i = 0; i < p->stage_count; i++) {
        int64_t lost = mm_lost_bands(p, &p->stages[i]);
        if (lost < 0 || lost > mm_bands(p, &p->stages[i]))
            return 0;
    }
    return 1;
}

int start_pools(void)
{
    for (int i = 0; i < POOLS; i++)
        if (mm_pool_new(i + 1, &pools[i]) != MM_OK)
            return 0;
    return 1;
}

void free_pools(void)
{
    for (int i = 0; i < POOLS; i++)
        mm_pool_free(pools[i]);
}

/* The caller's arrays of one batch, each as large as the largest step that uses it wants. */
typedef struct {
    void *inputs[MAX_ARRAYS];
    float *outputs[MAX_ARRAYS];
    size_t output_bytes[MAX_ARRAYS];
} arrays_t;

static double elements(const mm_tensor *t) { return (double)t->channels * t->height * t->width; }

static double work(const mm_program *p)
{
    double sum = 0.0;
    for (int64_t i = 0; i < p->step_count; i++) {
        const mm_step *s = &p->steps[i];
        const mm_tensor *in =
            &p->tensors[s->input >= 0 && s->input < p->tensor_count ? s->input : 0];
        const mm_tensor *out = &p->tensors[s->op == MM_OP_OUTPUT ? s->input : s->output];
        double each = 1.0;
        if (s->op == MM_OP_CONV || s->op == MM_OP_WINOGRAD)
            each = (double)in->channels / s->groups * s->kernel_h * s->kernel_w;
        else if (s->op == MM_OP_DEPTHWISE)
            each = 36.0;
        else if (s->op == MM_OP_MAX_POOL || s->op == MM_OP_AVG_POOL)
            each = (double)s->kernel_w + (double)s->kernel_h * in->width;
        else if (s->op == MM_OP_LINEAR || s->op == MM_OP_GLOBAL_AVG_POOL || s->op == MM_OP_MOMENTS)
            each = elements(in);
        if (s->op == MM_OP_WINOGRAD)
            each += 8.0 * in->width;
        sum += (elements(out) + MM_LANES) * each + (double)out->height * (double)s->stride_w;
    }
    return sum;
}

int small_enough(const mm_program *p)
{
    if (p->parameter_count > MAX_FLOATS || p->constant_count > MAX_FLOATS ||
        p->arena_floats > MAX_FLOATS || p->scratch_floats > MAX_FLOATS ||
        p->quantized_count > MAX_FLOATS || p->ring_floats > MAX_FLOATS ||
        p->max_list > MAX_FLOATS || p->input_count > MAX_ARRAYS || p->output_count > MAX_ARRAYS)
        return 0;
    return work(p) <= MAX_WORK;
}

static void make_arrays(arrays_t *a, const mm_program *p, int64_t batch)
{
    size_t input_bytes[MAX_ARRAYS] = {0};
    int pictures[MAX_ARRAYS] = {0};
    *a = (arrays_t){{NULL}, {NULL}, {0}};
    for (int64_t i = 0; i < p->step_count; i++) {
        const mm_step *s = &p->steps[i];
        if (s->op > MM_OP_OUTPUT)
            continue;
        int out = s->op == MM_OP_OUTPUT;
        const mm_tensor *t = &p->tensors[out ? s->input : s->output];
        size_t bytes = (size_t)batch * (size_t)elements(t) * (s->op == MM_OP_INPUT_U8 ? 1 : 4);
        size_t *most = &(out ? a->output_bytes : input_bytes)[s->array];
        *most = bytes > *most ? bytes : *most;
        pictures[s->array] |= s->op == MM_OP_INPUT_U8;
    }
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (pictures[i] && input_bytes[i])
            fill(a->inputs[i] = exactly(input_bytes[i]), input_bytes[i]);
        else if (input_bytes[i])
            a->inputs[i] = random_floats((int64_t)(input_bytes[i] / sizeof(float)));
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (a->output_bytes[i])
            a->outputs[i] = exactly(a->output_bytes[i]);
}

static void free_arrays(arrays_t *a)
{
    for (int i = 0; i < MAX_ARRAYS; i++) {
        free(a->inputs[i]);
        free(a->outputs[i]);
    }
}

/* Of all outputs, bit by bit; all NaN count as one. */
static uint64_t digest(const arrays_t *a)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < MAX_ARRAYS; i++)
        for (size_t k = 0; k < a->output_bytes[i] / 4; k++) {
            uint32_t bits = 0x7fc00000u;
            if (a->outputs[i][k] == a->outputs[i][k])
                memcpy(&bits, &a->outputs[i][k], 4);
            h = (h ^ bits) * 1099511628211u;
        }
    return h;
}

/* Memory before a run: anything, so some noise at its beginning.  MemorySanitizer is to see what an
   unchanged program reads before it has written it; a changed one may read what nobody writes. */
static void spoil(void *memory, size_t bytes, int plain)
{
    if (!HAS_MSAN)
        fill(memory, bytes < 4096 ? bytes : 4096);
    else if (!plain)
        memset(memory, 0, bytes);
}

/* The part-th of so many shares of a stage. */
static void run_part(const mm_worker *worker, const mm_stage *stage, int64_t part, int64_t parts)
{
    int64_t bands = mm_bands(worker->program, stage), done[MM_MAX_STAGE] = {0};
    mm_clear_rings(worker, stage);
    for (int64_t b = bands * part / parts; b < bands * (part + 1) / parts; b++)
        run_band(worker, stage, b, done);
}

/* Arena, scratch and rows apart from one another; lines in parts, as threads would take them. */
static void run_apart(const mm_program *p, int isa, arrays_t *a, int64_t batch, int plain)
{
    size_t arena_bytes = (size_t)p->arena_floats * sizeof(float);
    size_t scratch_bytes = (size_t)p->scratch_floats * sizeof(float);
    size_t ring_bytes = (size_t)p->ring_floats * sizeof(float);
    mm_worker worker = {.program = p,
                        .kernels = mm_kernels_of(isa),
                        .inputs = (const void *const *)a->inputs,
                        .outputs = a->outputs,
                        .arena = exactly(arena_bytes),
                        .rings = exactly(ring_bytes),
                        .scratch = exactly(scratch_bytes),
                        .rows = exactly((size_t)p->max_list * sizeof *worker.rows)};
    spoil(worker.rings, ring_bytes, plain);
    spoil(worker.arena, arena_bytes, plain);
    spoil(worker.scratch, scratch_bytes, plain);
    int64_t parts = between(1, 3);
    for (worker.image = 0; worker.image < batch; worker.image++)
        for (int64_t i = 0; i < p->stage_count; i++)
            for (int64_t part = 0; part < parts; part++)
                run_part(&worker, &p->stages[i], part, parts);
    free(worker.arena);
    free(worker.rings);
    free(worker.scratch);
    free((void *)worker.rows);
}

static void run_pool(const mm_program *p, int isa, int threads, int images_at_once, arrays_t *a,
                     int64_t batch, int plain)
{
    size_t bytes = mm_workspace_bytes(p, threads, images_at_once);
    if (!bytes)
        return;
    size_t timers = (size_t)(threads * p->step_count);
    int64_t *nanoseconds = one_in(2) ? exactly(timers * sizeof *nanoseconds) : NULL;
    for (size_t i = 0; nanoseconds && i < timers; i++)
        nanoseconds[i] = 0;
    void *workspace = aligned_alloc(64, bytes);
    if (workspace && HAS_MSAN)
        spoil(workspace, bytes, plain);
    if (!workspace || mm_run(p, isa, pools[threads - 1], (const void *const *)a->inputs, a->outputs,
                             batch, workspace, images_at_once, nanoseconds) != MM_OK)
        exit(2);
    for (size_t i = 0; nanoseconds && i < timers; i++)
        backwards += nanoseconds[i] < 0;
    free(nanoseconds);
    free(workspace);
}

/* One run; an unchanged program must give the same bits as before, all outputs taken together. */
static void run_once(const mm_program *p, int isa, int threads, int images_at_once, arrays_t *a,
                     int64_t batch, uint64_t *wanted)
{
    for (int i = 0; i < MAX_ARRAYS; i++)
        if (a->outputs[i])
            memset(a->outputs[i], 0, a->output_bytes[i]);
    if (threads)
        run_pool(p, isa, threads, images_at_once, a, batch, wanted != NULL);
    else
        run_apart(p, isa, a, batch, wanted != NULL);
    if (!wanted)
        return;
    uint64_t got = digest(a);
    if (*wanted && got != *wanted) {
        printf("program %ld, %s, %d threads, %d images at once: other bits\n", current,
               mm_isa_name(isa), threads, images_at_once);
        differences++;
    }
    *wanted = got;
}

void run_program(const mm_program *p, long number, int plain)
{
    uint64_t wanted[2] = {0, 0}; /* without fused multiply-add and with */
    int64_t batch = one_in(16) ? 0 : between(1, 4);
    arrays_t a;
    current = number;
    if (!losses_fit(p)) {
        printf("program %ld: loses more than there is\n", number);
        differences++;
        return;
    }
    make_arrays(&a, p, batch);
    for (int isa = 0; isa < MM_ISA_COUNT; isa++) {
        /* vectors hold lanes beyond the row, which matter to nobody but MemorySanitizer */
        if (!mm_isa_supported(isa) || (HAS_MSAN && isa != MM_SCALAR))
            continue;
        uint64_t *same = plain ? &wanted[isa != MM_SCALAR && isa != MM_SSE2] : NULL;
        run_once(p, isa, 0, 0, &a, batch, same);
        if (!plain)
            run_once(p, isa, between(1, 2), 2, &a, batch, same);
        for (int threads = 1; plain && threads <= POOLS; threads++) {
            run_once(p, isa, threads, threads, &a, batch, same); /* images side by side */
            run_once(p, isa, threads, 1, &a, batch, same);       /* lines side by side */
        }
    }
    free_arrays(&a);
}

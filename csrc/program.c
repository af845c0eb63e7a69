/* program.c - runs a checked program: images, threads, stages and their bands of lines. */
#include "program.h"

#include <string.h>

#include "threads.h"

typedef struct {
    const mm_program *program;
    const mm_kernels *kernels;
    mm_pool *pool;
    const void *const *inputs;
    float *const *outputs;
    int64_t batch, split; /* images below `split` go to one thread each, the rest to all */
    char *workspace;
    size_t scratch_bytes, arena_bytes;
    int64_t *nanoseconds;
    volatile int32_t next;
} run_t;

static int64_t lines_of(const mm_program *p, const mm_step *s)
{
    return p->tensors[s->op == MM_OP_OUTPUT ? s->input : s->output].height;
}

int64_t mm_bands(const mm_program *p, const mm_stage *stage)
{
    return (lines_of(p, &p->steps[stage->first + stage->count - 1]) + stage->band - 1) / stage->band;
}

/* Add the lines of an input (`second`: or of the other) that lines `out` of a step need to what is
   needed of its ring. */
static void add_need(const mm_program *p, const mm_step *s, int second, mm_range out, mm_range *needs)
{
    const mm_tensor *in = &p->tensors[second ? s->second : s->input];
    if (in->ring < 0)
        return;
    mm_range *need = &needs[in->ring];
    if (s->op == MM_OP_CONV || s->op == MM_OP_WINOGRAD || s->op == MM_OP_DEPTHWISE ||
        s->op == MM_OP_MAX_POOL || s->op == MM_OP_AVG_POOL) {
        int64_t window = (int64_t)(s->kernel_h - 1) * s->dilation_h + 1, granule = mm_granule(s);
        out.end += (granule - out.end % granule) % granule; /* a tile mixes all of its input */
        out.start = out.start * s->stride_h - s->pad_top;
        out.end = (out.end - 1) * s->stride_h - s->pad_top + window;
    } else if (second && mm_is_doubled(s, in, &p->tensors[s->output])) {
        out.start = out.start / 2;
        out.end = (out.end + 1) / 2;
    }
    out.start = out.start < 0 ? 0 : out.start;
    out.end = out.end > in->height ? in->height : out.end;
    need->start = out.start < need->start ? out.start : need->start;
    need->end = out.end > need->end ? out.end : need->end;
}

void mm_lines_of_band(const mm_program *p, const mm_stage *stage, int64_t number, mm_range *own)
{
    const mm_step *steps = p->steps + stage->first;
    mm_range needs[MM_MAX_STAGE];
    int64_t height = lines_of(p, &steps[stage->count - 1]);
    mm_range band = {number * stage->band, (number + 1) * stage->band};
    band.end = band.end > height ? height : band.end;
    for (int i = 0; i < stage->count; i++)
        needs[i] = (mm_range){INT64_MAX, 0};
    for (int i = stage->count - 1; i >= 0; i--) {
        const mm_step *s = &steps[i];
        own[i] = s->output < 0 || p->tensors[s->output].ring < 0
                     ? band
                     : needs[p->tensors[s->output].ring];
        if (own[i].start >= own[i].end)
            continue;
        int64_t granule = mm_granule(s), lines = lines_of(p, s);
        own[i].start -= own[i].start % granule;
        own[i].end += (granule - own[i].end % granule) % granule;
        own[i].end = own[i].end > lines ? lines : own[i].end;
        if (s->input >= 0)
            add_need(p, s, 0, own[i], needs);
        if (s->second >= 0)
            add_need(p, s, 1, own[i], needs);
    }
}

/* One band of a stage.  done[i]: the lines that step i has computed end there. */
static void run_band(const mm_lane *lane, const mm_stage *stage, int64_t number, int64_t *done)
{
    const mm_step *steps = lane->program->steps + stage->first;
    mm_range own[MM_MAX_STAGE];
    int64_t *times = lane->nanoseconds, then = times ? mm_nanoseconds() : 0;
    mm_lines_of_band(lane->program, stage, number, own);
    for (int i = 0; i < stage->count; i++) {
        int64_t y = done[i] > own[i].start ? done[i] : own[i].start;
        if (y < own[i].end)
            mm_step_lines(lane, &steps[i], y, own[i].end);
        done[i] = own[i].end > done[i] ? own[i].end : done[i];
        if (times) { /* one look at the clock for a step of a band: it takes some 30 ns */
            int64_t now = mm_nanoseconds();
            times[stage->first + i] += now - then;
            then = now;
        }
    }
}

/* The part-th of `parts` equal shares of a stage. */
static void run_stage(const mm_lane *lane, const mm_stage *stage, int64_t part, int64_t parts)
{
    int64_t bands = mm_bands(lane->program, stage), done[MM_MAX_STAGE] = {0};
    mm_clear_rings(lane, stage);
    for (int64_t b = bands * part / parts; b < bands * (part + 1) / parts; b++)
        run_band(lane, stage, b, done);
}

/* Bytes rounded up to whole cache lines. */
static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

static mm_lane lane_at(const run_t *run, int thread, int arena, int64_t image)
{
    const mm_program *p = run->program;
    int threads = mm_pool_threads(run->pool);
    char *rows = run->workspace + (size_t)thread * run->scratch_bytes;
    char *scratch = rows + whole_lines((size_t)p->max_list * sizeof(float *));
    char *rings = scratch + whole_lines((size_t)p->scratch_floats * sizeof(float));
    char *memory = run->workspace + (size_t)threads * run->scratch_bytes +
                   (size_t)arena * run->arena_bytes;
    return (mm_lane){
        .program = p,
        .kernels = run->kernels,
        .inputs = run->inputs,
        .outputs = run->outputs,
        .arena = (float *)(void *)memory,
        .rings = (float *)(void *)rings,
        .scratch = (float *)(void *)scratch,
        .rows = (const float **)(void *)rows,
        .image = image,
        .nanoseconds = run->nanoseconds ? run->nanoseconds + thread * p->step_count : NULL,
    };
}

static void run_task(void *context, int thread)
{
    run_t *run = context;
    const mm_program *p = run->program;
    int threads = mm_pool_threads(run->pool);
    for (;;) {
        int64_t image = run->split ? mm_atomic_next(&run->next) : 0;
        if (image >= run->split)
            break;
        mm_lane lane = lane_at(run, thread, thread, image);
        for (int64_t i = 0; i < p->stage_count; i++)
            run_stage(&lane, &p->stages[i], 0, 1);
    }
    mm_pool_barrier(run->pool); /* arena 0 is everyone's from here on */
    for (int64_t image = run->split; image < run->batch; image++) {
        mm_lane lane = lane_at(run, thread, 0, image);
        for (int64_t i = 0; i < p->stage_count; i++) {
            run_stage(&lane, &p->stages[i], thread, threads);
            mm_pool_barrier(run->pool);
        }
    }
}

/* Bytes of one thread's scratch and of one image's arena. */
static void workspace_parts(const mm_program *p, size_t *scratch, size_t *arena)
{
    *scratch = whole_lines((size_t)p->max_list * sizeof(float *)) +
               whole_lines((size_t)p->scratch_floats * sizeof(float)) +
               whole_lines((size_t)p->ring_floats * sizeof(float));
    *arena = whole_lines((size_t)p->arena_floats * sizeof(float));
}

size_t mm_workspace_bytes(const mm_program *program, int threads, int lanes)
{
    size_t scratch, arena;
    if (threads < 1 || lanes < 1 || (uint64_t)program->arena_floats > SIZE_MAX >> 4 ||
        (uint64_t)program->scratch_floats > SIZE_MAX >> 6 ||
        (uint64_t)program->ring_floats > SIZE_MAX >> 6 ||
        (uint64_t)program->max_list > SIZE_MAX >> 6)
        return 0;
    workspace_parts(program, &scratch, &arena);
    if (scratch > (SIZE_MAX >> 2) / (unsigned)threads || arena > (SIZE_MAX >> 2) / (unsigned)lanes)
        return 0;
    return scratch * (size_t)threads + arena * (size_t)lanes;
}

int mm_run(const mm_program *program, int isa, mm_pool *pool, const void *const *inputs,
           float *const *outputs, int64_t batch, void *workspace, int lanes,
           int64_t *nanoseconds)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    int threads = mm_pool_threads(pool);
    if (!kernels)
        return MM_E_ISA;
    if (batch < 0 || batch > INT32_MAX / 2 || lanes < 1)
        return MM_E_PROGRAM;
    run_t run = {.program = program, .kernels = kernels, .pool = pool, .inputs = inputs,
                 .outputs = outputs, .batch = batch, .workspace = workspace,
                 .nanoseconds = nanoseconds};
    workspace_parts(program, &run.scratch_bytes, &run.arena_bytes);
    if (lanes >= threads)
        run.split = batch - batch % threads;
    mm_pool_run(pool, run_task, &run);
    return MM_OK;
}

int mm_activate(int isa, int activation, float slope, const float *x, float *y, size_t n)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    if (!kernels)
        return MM_E_ISA;
    mm_unary_fn *f = mm_activation_of(kernels, activation);
    if (!f)
        return MM_E_PROGRAM;
    size_t whole = n / MM_LANES * MM_LANES, rest = n - whole;
    f(x, y, whole, slope);
    if (rest) {
        float lanes[MM_LANES] = {0.0f};
        memcpy(lanes, x + whole, rest * sizeof *x);
        f(lanes, lanes, MM_LANES, slope);
        memcpy(y + whole, lanes, rest * sizeof *y);
    }
    return MM_OK;
}

const char *mm_strerror(int code)
{
    switch (code) {
    case MM_OK:
        return "done";
    case MM_E_NOMEM:
        return "out of memory";
    case MM_E_PROGRAM:
        return "the program contradicts itself";
    case MM_E_ISA:
        return "this machine or build lacks the instruction set";
    case MM_E_THREADS:
        return "the system gave no thread";
    default:
        return "unknown status";
    }
}

/* program.c - runs a checked program: images, threads, stages and their bands of lines. */
#include "bands.h"
#include "lines.h"
#include "ops.h"

#include <string.h>

#include "threads.h"

typedef struct {
    const mm_program *program;
    const mm_kernels *kernels;
    mm_pool *pool;
    const void *const *inputs;
    float *const *outputs;
    char *workspace;
    size_t scratch_bytes, arena_bytes;
    int64_t *nanoseconds;
} run_t;

/* One band of a stage.  done[i]: the lines that step i has computed end there. */
static void run_band(const mm_worker *worker, const mm_stage *stage, int64_t number, int64_t *done)
{
    const mm_step *steps = worker->program->steps + stage->first;
    mm_range own[MM_MAX_STAGE];
    int64_t *times = worker->nanoseconds, then = times ? mm_nanoseconds() : 0;
    mm_lines_of_band(worker->program, stage, number, own);
    for (int i = 0; i < stage->count; i++) {
        int64_t y = done[i] > own[i].start ? done[i] : own[i].start;
        if (y < own[i].end)
            MM_OPS[steps[i].op].run(worker, &steps[i], y, own[i].end);
        done[i] = own[i].end > done[i] ? own[i].end : done[i];
        if (times) { /* one look at the clock for a step of a band: it takes some 30 ns */
            int64_t now = mm_nanoseconds();
            times[stage->first + i] += now - then;
            then = now;
        }
    }
}

/* Bytes rounded up to whole cache lines. */
static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

static mm_worker worker_at(const run_t *run, int thread, int arena, int64_t image)
{
    const mm_program *p = run->program;
    int threads = mm_pool_threads(run->pool);
    char *rows = run->workspace + (size_t)thread * run->scratch_bytes;
    char *scratch = rows + whole_lines((size_t)p->max_list * sizeof(float *));
    char *rings = scratch + whole_lines((size_t)p->scratch_floats * sizeof(float));
    char *memory =
        run->workspace + (size_t)threads * run->scratch_bytes + (size_t)arena * run->arena_bytes;
    return (mm_worker){
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

/* Some images, each for one thread. */
typedef struct {
    const run_t *run;
    int64_t first;
} images_t;

static void run_images(void *context, mm_share *share)
{
    const images_t images = *(const images_t *)context;
    const mm_program *p = images.run->program;
    for (int64_t piece; (piece = mm_pool_piece(share)) >= 0;) {
        mm_worker worker =
            worker_at(images.run, share->thread, share->thread, images.first + piece);
        for (int64_t i = 0; i < p->stage_count; i++) {
            int64_t done[MM_MAX_STAGE] = {0}, bands = mm_bands(p, &p->stages[i]);
            mm_clear_rings(&worker, &p->stages[i]);
            for (int64_t b = 0; b < bands; b++)
                run_band(&worker, &p->stages[i], b, done);
        }
    }
}

/* One stage of an image, some bands a piece. */
typedef struct {
    const run_t *run;
    const mm_stage *stage;
    int64_t image, bands, each;
} lines_t;

static void run_lines(void *context, mm_share *share)
{
    const lines_t lines = *(const lines_t *)context;
    const mm_worker worker = worker_at(lines.run, share->thread, 0, lines.image);
    int64_t done[MM_MAX_STAGE] = {0};
    mm_clear_rings(&worker, lines.stage);
    for (int64_t piece; (piece = mm_pool_piece(share)) >= 0;) {
        int64_t end = mm_smaller((piece + 1) * lines.each, lines.bands);
        for (int64_t b = piece * lines.each; b < end; b++)
            run_band(&worker, lines.stage, b, done);
    }
}

static void run_stage(const run_t *run, int64_t image, const mm_stage *stage)
{
    int64_t bands = mm_bands(run->program, stage), each = bands / MM_MAX_PIECES + 1;
    lines_t lines = {run, stage, image, bands, each};
    int64_t lost = mm_pool_threads(run->pool) > 1 ? mm_lost_bands(run->program, stage) : 0;
    mm_pool_run(run->pool, run_lines, &lines, (bands + each - 1) / each, lost / each);
}

/* Bytes of one thread's scratch and of one image's arena. */
static void workspace_parts(const mm_program *p, size_t *scratch, size_t *arena)
{
    *scratch = whole_lines((size_t)p->max_list * sizeof(float *)) +
               whole_lines((size_t)p->scratch_floats * sizeof(float)) +
               whole_lines((size_t)p->ring_floats * sizeof(float));
    *arena = whole_lines((size_t)p->arena_floats * sizeof(float));
}

size_t mm_workspace_bytes(const mm_program *program, int threads, int images_at_once)
{
    size_t scratch, arena;
    if (threads < 1 || images_at_once < 1 || (uint64_t)program->arena_floats > SIZE_MAX >> 4 ||
        (uint64_t)program->scratch_floats > SIZE_MAX >> 6 ||
        (uint64_t)program->ring_floats > SIZE_MAX >> 6 ||
        (uint64_t)program->max_list > SIZE_MAX >> 6)
        return 0;
    workspace_parts(program, &scratch, &arena);
    if (scratch > (SIZE_MAX >> 2) / (unsigned)threads ||
        arena > (SIZE_MAX >> 2) / (unsigned)images_at_once)
        return 0;
    return scratch * (size_t)threads + arena * (size_t)images_at_once;
}

int mm_run(const mm_program *program, int isa, mm_pool *pool, const void *const *inputs,
           float *const *outputs, int64_t batch, void *workspace, int images_at_once,
           int64_t *nanoseconds)
{
    const mm_kernels *kernels = mm_kernels_of(isa);
    int threads = mm_pool_threads(pool);
    if (!kernels)
        return MM_E_ISA;
    if (batch < 0 || batch > INT32_MAX / 2 || images_at_once < 1)
        return MM_E_PROGRAM;
    run_t run = {.program = program,
                 .kernels = kernels,
                 .pool = pool,
                 .inputs = inputs,
                 .outputs = outputs,
                 .workspace = workspace,
                 .nanoseconds = nanoseconds};
    workspace_parts(program, &run.scratch_bytes, &run.arena_bytes);
    int64_t alone = images_at_once >= threads ? batch - batch % threads : 0;
    for (int64_t i = 0; i < alone; i += MM_MAX_PIECES) {
        images_t images = {&run, i};
        mm_pool_run(pool, run_images, &images, mm_smaller(alone - i, MM_MAX_PIECES), 0);
    }
    for (int64_t i = alone; i < batch; i++)
        for (int64_t stage = 0; stage < program->stage_count; stage++)
            run_stage(&run, i, &program->stages[stage]);
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

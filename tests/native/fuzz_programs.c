/* fuzz_programs.c - "a program that passes mm_check touches no memory but its own", by experiment.

   Draws programs that are right, changes most of them, and runs every one that mm_check lets
   through, with all of its memory allocated to the element, so that a build with AddressSanitizer
   sees each step beyond.  What an unchanged program gives back must not depend on threads, images
   at once or instruction set.

   fuzz_programs [count [first [plain | verbose]]]
       programs first .. first + count - 1; plain: no changes, as ThreadSanitizer wants it (a
       changed program may write where it reads); verbose: the number of each before it runs.

   With -DFUZZ_BYTES it is a target of libFuzzer (.ci/fuzz): what else is chance are bytes that it
   chooses by the code that they reach.  Behind PLAN and a byte, an odd one for two threads, they
   are a plan file without its head instead. */

#include "fuzz.h"

#ifdef FUZZ_BYTES
#include "plan_file.c"
#define PLAN 0xfe
#endif

static uint64_t state;
static const uint8_t *choices; /* of libFuzzer, before chance */
static size_t choices_left;
static long made[MM_OP_COUNT], passed[MM_OP_COUNT], ran[MM_OP_COUNT];
static long changed_passed, changed_refused, plain_refused, too_large, shortened;

void start_chance(uint64_t seed)
{
    state = 88172645463325252u ^ seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 4; i++)
        random_bits();
}

static uint32_t noise(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
uint32_t random_bits(void)
{
    uint32_t bits = 0;
    if (!choices_left)
        return noise();
    for (int i = 0; i < 4 && choices_left; i++, choices_left--)
        bits |= (uint32_t)*choices++ << (8 * i);
    return bits;
}
int32_t below(int32_t n) { return (int32_t)(random_bits() % (uint32_t)n); }
int32_t between(int32_t low, int32_t high) { return low + below(high - low + 1); }
int one_in(int32_t n) { return below(n) == 0; }

void *exactly(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p && bytes)
        exit(2);
    return p;
}

void *fill(void *p, size_t bytes)
{
    unsigned char *bytes_of = p;
    for (size_t i = 0; i < bytes; i++)
        bytes_of[i] = (unsigned char)noise();
    return p;
}

float *random_floats(int64_t count)
{
    float *p = exactly((size_t)count * sizeof *p);
    for (int64_t i = 0; i < count; i++)
        p[i] = (float)((int32_t)(noise() % 129) - 64) / 32.0f;
    return p;
}

static void count_steps(long *counts, const mm_program *p)
{
    for (int64_t i = 0; i < p->step_count; i++)
        if (p->steps[i].op >= 0 && p->steps[i].op < MM_OP_COUNT)
            counts[p->steps[i].op]++;
}

static void *copy_of(const void *from, int64_t count, size_t size)
{
    size_t bytes = count > 0 ? (size_t)count * size : 0;
    void *p = exactly(bytes);
    if (bytes)
        memcpy(p, from, bytes);
    return p;
}

/* Rings as short as mm_check lets them be: results must still not depend on threads. */
static void shorten_rings(const mm_program *p)
{
    int64_t step;
    for (int64_t i = 0; i < p->tensor_count; i++) {
        mm_tensor *t = (mm_tensor *)&p->tensors[i];
        while (t->ring >= 0 && t->line_mask > 0) {
            int64_t old = t->line_mask;
            t->line_mask = old / 2;
            if (mm_check(p, &step) != MM_OK) {
                t->line_mask = old;
                break;
            }
            shortened++;
        }
    }
}

/* What the planner asks of programs that nobody has checked. */
static void measure_all(const mm_program *p)
{
    mm_needs needs;
    int64_t lines[MM_MAX_STAGE];
    for (int64_t i = 0; i < p->step_count; i++)
        mm_measure(p, i, &needs);
    for (int64_t i = 0; i < p->stage_count; i++)
        mm_measure_stage(p, &p->stages[i], lines);
}

#ifdef FUZZ_BYTES
static size_t words_of(int64_t count, size_t size)
{
    return count > 0 ? (size_t)count * size / 4 : 0; /* it may have been changed to any number */
}

/* Any value into any field, as long as there are bytes that choose one. */
static void poke(draft_t *d)
{
    const size_t tensors = words_of(d->p.tensor_count, sizeof *d->tensors);
    const size_t steps = words_of(d->p.step_count, sizeof *d->steps);
    const size_t stages = words_of(d->p.stage_count, sizeof *d->stages);
    for (int left = 8; left && choices_left && tensors + steps + stages; left--) {
        const uint32_t value = random_bits();
        size_t at = random_bits() % (tensors + steps + stages);
        char *place = (char *)d->stages;
        if (at < tensors)
            place = (char *)d->tensors;
        else if ((at -= tensors) < steps)
            place = (char *)d->steps;
        else
            at -= steps;
        memcpy(place + 4 * at, &value, sizeof value);
    }
}
#endif

/* The number of a program also says its operator. */
static void try_program(long number, int plain)
{
    draft_t d;
    int64_t step;
    mm_step *focus = draw(&d, (int32_t)(number % MM_OP_COUNT));
    plain = plain || one_in(6);
    if (plain) {
        place(&d);
        add_reach(&d);
    } else {
        change(&d, focus);
#ifdef FUZZ_BYTES
        poke(&d);
#endif
    }
    mm_program p = d.p;
    p.tensors = copy_of(d.tensors, p.tensor_count, sizeof *p.tensors);
    p.steps = copy_of(d.steps, p.step_count, sizeof *p.steps);
    p.stages = copy_of(d.stages, p.stage_count, sizeof *p.stages);
    p.tables = copy_of(d.tables, p.table_count, sizeof *p.tables);
    count_steps(made, &p);
    if (plain)
        shorten_rings(&p);
    measure_all(&p);
    if (mm_check(&p, &step) != MM_OK) {
        if (plain)
            printf("program %ld, %s at %d: refused\n", number,
                   step >= 0 ? mm_op_name(p.steps[step].op) : "tensors", (int)step);
        plain ? plain_refused++ : changed_refused++;
    } else {
        count_steps(passed, &p);
        changed_passed += !plain;
        if (small_enough(&p)) {
            float *parameters = random_floats(p.parameter_count);
            float *constants = random_floats(p.constant_count);
            p.parameters = parameters;
            p.constants = constants;
            p.quantized = fill(exactly((size_t)p.quantized_count), (size_t)p.quantized_count);
            count_steps(ran, &p);
            run_program(&p, number, plain);
            free(parameters);
            free(constants);
            free((void *)p.quantized);
        } else {
            too_large++;
        }
    }
    free((void *)p.tensors);
    free((void *)p.steps);
    free((void *)p.stages);
    free((void *)p.tables);
}

#ifndef FUZZ_BYTES
/* Zeros between rows come in whole vectors: kernels round paddings up to those. */
static int takes_gap(int64_t row_padding)
{
    mm_tensor t = {.offset = row_padding,
                   .row_stride = mm_round_lanes(20) + row_padding,
                   .channels = 1,
                   .height = 1,
                   .width = 20,
                   .ring = -1,
                   .line_mask = -1};
    t.line_stride = row_padding + t.row_stride;
    mm_program p = {.tensors = &t, .tensor_count = 1, .arena_floats = 1 << 10};
    int64_t step;
    return mm_check(&p, &step) == MM_OK;
}

static int wrong_gaps(void)
{
    int wrong = 0;
    for (int64_t row_padding = -40; row_padding <= 200; row_padding++)
        wrong += takes_gap(row_padding) != (row_padding > 0 && row_padding % MM_LANES == 0);
    return wrong;
}

#endif

#ifdef FUZZ_BYTES
/* What was opened, on every instruction set, the caller's arrays allocated to the byte. */
static void run_network(minimeso_network *n)
{
    void *inputs[MM_MAX_ARRAYS] = {NULL};
    float *outputs[MM_MAX_ARRAYS] = {NULL};
    minimeso_array a;
    for (int i = 0; minimeso_input(n, i, &a) == MINIMESO_OK; i++)
        fill(inputs[i] = exactly(a.bytes), a.bytes);
    for (int i = 0; minimeso_output(n, i, &a) == MINIMESO_OK; i++)
        outputs[i] = exactly(a.bytes);
    for (n->isa = 0; n->isa < MM_ISA_COUNT; n->isa++)
        if (mm_isa_supported(n->isa))
            minimeso_run(n, (const void *const *)inputs, outputs, 1);
    for (int i = 0; i < MM_MAX_ARRAYS; i++) {
        free(inputs[i]);
        free(outputs[i]);
    }
}

static void try_plan(const uint8_t *body, size_t size, int threads)
{
    minimeso_network *n;
    unsigned char *plan = exactly(MM_PLAN_HEAD + size);
    const uint32_t checksum = mm_crc32(body, size);
    memcpy(plan, MM_PLAN_MAGIC, 8);
    for (int i = 0; i < 4; i++)
        plan[8 + i] = (unsigned char)(checksum >> 8 * i);
    memcpy(plan + MM_PLAN_HEAD, body, size);
    const int status = minimeso_open(plan, MM_PLAN_HEAD + size, threads, &n);
    if (status == MINIMESO_OK && small_enough(&n->program))
        run_network(n);
    minimeso_close(n);
    free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int is_ready;
    if (!is_ready)
        is_ready = start_pools();
    if (!is_ready || size < 2)
        return 0;
    start_chance(data[0]);
    if (data[0] == PLAN && !HAS_MSAN) {
        try_plan(data + 2, size - 2, 1 + data[1] % 2);
        return 0;
    }
    choices = data + 2;
    choices_left = size - 2;
    try_program(data[1], data[0] % 16 == 1);
    choices_left = 0;
    if (plain_refused || differences || backwards)
        abort();
    return 0;
}
#else
int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1000, first = argc > 2 ? atol(argv[2]) : 0;
    int plain = argc > 3 && strcmp(argv[3], "plain") == 0;
    int verbose = argc > 3 && strcmp(argv[3], "verbose") == 0;
    if (!start_pools())
        return 2;
    for (long i = first; i < first + count; i++) {
        if (verbose) {
            printf("program %ld\n", i);
            fflush(stdout);
        }
        start_chance((uint64_t)i);
        try_program(i, plain);
    }
    free_pools();
    for (int op = 0; op < MM_OP_COUNT; op++)
        printf("%s: %ld made, %ld passed, %ld run\n", mm_op_name(op), made[op], passed[op],
               ran[op]);
    printf("changed programs: %ld passed, %ld refused\n", changed_passed, changed_refused);
    printf("too large to run: %ld\n", too_large);
    printf("right programs refused: %ld\n", plain_refused);
    printf("results that differ: %ld\n", differences);
    printf("rings shortened: %ld times\n", shortened);
    printf("times below zero: %ld\n", backwards);
    printf("row paddings misjudged: %d\n", wrong_gaps());
    return plain_refused || differences || backwards || wrong_gaps();
}
#endif

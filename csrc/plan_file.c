/* plan_file.c - minimeso_c_api.h: networks from plan files, for programs in C.

   A plan may be hostile: no count is believed before as many bytes are there, and mm_check says
   whether the program keeps to its memory. */
#include "include/minimeso_c_api.h"

#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "plan_file.h"

#define MM_MAX_ARRAYS 256 /* inputs, and outputs */
#define MM_MAX_NAME 255
#define MM_MAX_FLOATS ((int64_t)1 << 30) /* of the memory of a run: 4 GiB, as for any plan */

struct minimeso_network {
    mm_program program;
    mm_tensor *tensors;
    mm_step *steps;
    mm_stage *stages;
    float *parameters, *constants;
    int32_t *tables;
    uint8_t *quantized;
    minimeso_array arrays[2][MM_MAX_ARRAYS]; /* inputs, outputs */
    char *names;
    int has_thresholds, isa, threads;
    float real, fake;
    mm_pool *pool;
    void *memory; /* as malloc gave it */
    size_t memory_bytes;
};

/* --- reading --------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *at, *end;
    int failed;
} mm_reader;

static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int64_t number(mm_reader *r)
{
    if (r->failed || r->end - r->at < 8) {
        r->failed = 1;
        return 0;
    }
    uint64_t value = u32(r->at) | (uint64_t)u32(r->at + 4) << 32;
    r->at += 8;
    int64_t signed_value;
    memcpy(&signed_value, &value, sizeof value);
    return signed_value;
}

/* A number for a field of 4 or 8 bytes. */
static int64_t fitting(mm_reader *r, size_t bytes)
{
    int64_t value = number(r);
    if (bytes == 4 && (value < INT32_MIN || value > INT32_MAX))
        r->failed = 1;
    return r->failed ? 0 : value;
}

static float real_number(mm_reader *r)
{
    uint32_t bits = (uint32_t)number(r);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Memory for what is yet to be read, `count` items of so many bytes there; NULL where these are
   not. */
static void *room(mm_reader *r, int64_t count, size_t bytes_there, size_t bytes_here, int *status)
{
    if (r->failed || count < 0 || (uint64_t)count > (uint64_t)(r->end - r->at) / bytes_there) {
        r->failed = 1;
        return NULL;
    }
    void *memory = calloc((size_t)count + 1, bytes_here); /* never nothing */
    if (!memory)
        *status = MINIMESO_NO_MEMORY;
    return memory;
}

/* What fits the field: 4 or 8 bytes. */
#define MM_INTEGER(field) at->field = fitting(r, sizeof at->field);
#define MM_FLOAT(field) at->field = real_number(r);
#define MM_ELEMENT(field, i) at->field[i] = (int32_t)fitting(r, sizeof at->field[i]);

static void read_counts(mm_reader *r, mm_program *at) { MM_PLAN_COUNTS(MM_INTEGER) }

static void read_tensor(mm_reader *r, mm_tensor *at) { MM_PLAN_TENSOR(MM_INTEGER) }

static void read_step(mm_reader *r, mm_step *at) { MM_PLAN_STEP(MM_INTEGER, MM_FLOAT, MM_ELEMENT) }

static void read_stage(mm_reader *r, mm_stage *at){MM_PLAN_STAGE(MM_INTEGER)}

#define MM_COUNT_1(field) +1
#define MM_COUNT_2(field, i) +1
enum {
    MM_TENSOR_BYTES = 8 * (0 MM_PLAN_TENSOR(MM_COUNT_1)),
    MM_STEP_BYTES = 8 * (0 MM_PLAN_STEP(MM_COUNT_1, MM_COUNT_1, MM_COUNT_2)),
    MM_STAGE_BYTES = 8 * (0 MM_PLAN_STAGE(MM_COUNT_1))
};

/* `count` values of 4 bytes, whatever they are, in memory of their own. */
static void *words(mm_reader *r, int64_t count, int *status)
{
    char *to = room(r, count, 4, 4, status);
    for (int64_t i = 0; to && i < count; i++, r->at += 4) {
        uint32_t bits = u32(r->at);
        memcpy(to + 4 * i, &bits, 4);
    }
    return to;
}

/* Names of all inputs and outputs, one behind the other. */
static void read_names(mm_reader *r, minimeso_network *n, int *status)
{
    size_t used = 0;
    const int counts[2] = {n->program.input_count, n->program.output_count};
    n->names = calloc(2 * MM_MAX_ARRAYS, MM_MAX_NAME + 1);
    if (!n->names)
        *status = MINIMESO_NO_MEMORY;
    for (int kind = 0; n->names && kind < 2; kind++)
        for (int i = 0; i < counts[kind]; i++) {
            int64_t length = number(r);
            r->failed |= length < 0 || length > MM_MAX_NAME;
            const int64_t padded = r->failed ? 0 : (length + 7) / 8 * 8;
            r->failed |= padded > r->end - r->at;
            if (r->failed)
                return;
            n->arrays[kind][i].name = memcpy(n->names + used, r->at, (size_t)length);
            used += (size_t)length + 1;
            r->at += padded;
        }
}

/* The whole file behind its checksum. */
static void read_network(mm_reader *r, minimeso_network *n, int *status)
{
    mm_program *p = &n->program;
    if (number(r) != mm_plan_version())
        r->failed = 1;
    read_counts(r, p);
    n->has_thresholds = number(r) != 0;
    n->real = real_number(r);
    n->fake = real_number(r);
    if (p->input_count < 0 || p->input_count > MM_MAX_ARRAYS || p->output_count < 0 ||
        p->output_count > MM_MAX_ARRAYS)
        r->failed = 1;
    if (r->failed)
        return;
    read_names(r, n, status);
    n->tensors = room(r, p->tensor_count, MM_TENSOR_BYTES, sizeof *n->tensors, status);
    for (int64_t i = 0; n->tensors && i < p->tensor_count; i++)
        read_tensor(r, &n->tensors[i]);
    n->steps = room(r, p->step_count, MM_STEP_BYTES, sizeof *n->steps, status);
    for (int64_t i = 0; n->steps && i < p->step_count; i++)
        read_step(r, &n->steps[i]);
    n->stages = room(r, p->stage_count, MM_STAGE_BYTES, sizeof *n->stages, status);
    for (int64_t i = 0; n->stages && i < p->stage_count; i++)
        read_stage(r, &n->stages[i]);
    n->constants = words(r, p->constant_count, status);
    n->tables = words(r, p->table_count, status);
    n->parameters = words(r, p->parameter_count, status);
    n->quantized = room(r, p->quantized_count, 1, 1, status);
    if (n->quantized) {
        memcpy(n->quantized, r->at, (size_t)p->quantized_count);
        r->at += p->quantized_count;
    }
    if (r->at != r->end)
        r->failed = 1;
    p->tensors = n->tensors;
    p->steps = n->steps;
    p->stages = n->stages;
    p->constants = n->constants;
    p->tables = n->tables;
    p->parameters = n->parameters;
    p->quantized = n->quantized;
}

/* --- what a network is ----------------------------------------------------------------------- */

/* What the caller hands over or gets by a step, of a program that mm_check has passed; 0 where two
   steps want one array to be different things, or one is larger than any memory: a tensor of a few
   lines may stand for any number of them. */
static int describe(const mm_program *p, const mm_step *s, minimeso_array *a)
{
    const int is_output = s->op == MM_OP_OUTPUT, phases = s->column_phases ? 2 : 1;
    const mm_tensor *t = mm_made(p, s);
    minimeso_array found = {.name = a->name, .is_bytes = s->op == MM_OP_INPUT_U8};
    int64_t channels = t->channels, width = t->width, count = 1;
    if (!is_output) {
        channels /= phases;
        width *= phases;
    }
    found.rank = t->is_vector ? 1 : 3;
    const int64_t by_planes[3] = {t->is_vector ? width : channels, t->height, width};
    const int64_t by_pixels[3] = {t->height, width, channels};
    const int in_pixels = found.is_bytes && !t->is_vector;
    memcpy(found.shape, in_pixels ? by_pixels : by_planes, sizeof found.shape);
    for (int i = 0; i < found.rank; i++)
        count = mm_times(count, found.shape[i]);
    if (count >= (int64_t)(PTRDIFF_MAX / sizeof(float))) /* mm_times: no more than that */
        return 0;
    for (int i = found.rank; i < 3; i++)
        found.shape[i] = 1;
    found.bytes = (size_t)count * (found.is_bytes ? 1 : sizeof(float));
    const int same = !a->rank || (a->rank == found.rank && a->is_bytes == found.is_bytes &&
                                  !memcmp(a->shape, found.shape, sizeof found.shape));
    *a = found;
    return same;
}

static int describe_arrays(minimeso_network *n)
{
    const mm_program *p = &n->program;
    for (int64_t i = 0; i < p->step_count; i++) {
        const mm_step *s = &p->steps[i];
        const int is_output = s->op == MM_OP_OUTPUT;
        if (!is_output && s->op != MM_OP_INPUT_F32 && s->op != MM_OP_INPUT_U8)
            continue;
        if (!describe(p, s, &n->arrays[is_output][s->array]))
            return 0;
    }
    const int counts[2] = {p->input_count, p->output_count};
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < counts[kind]; i++)
            if (!n->arrays[kind][i].rank)
                return 0;
    /* whoever is told of thresholds has room for a p_fake, and no more */
    return !n->has_thresholds || (p->output_count == 1 && n->arrays[1][0].bytes == sizeof(float));
}

/* Memory for so many items at once.  Zeros: a hostile plan may read what no step has written. */
static int reserve(minimeso_network *n, int at_once)
{
    const size_t bytes = mm_workspace_bytes(&n->program, n->threads, at_once);
    if (!bytes || bytes > SIZE_MAX - 64)
        return MINIMESO_NO_MEMORY;
    if (bytes <= n->memory_bytes)
        return MINIMESO_OK;
    void *memory = calloc(1, bytes + 64);
    if (!memory)
        return MINIMESO_NO_MEMORY;
    free(n->memory);
    n->memory = memory;
    n->memory_bytes = bytes;
    return MINIMESO_OK;
}

static int open_network(const unsigned char *plan, size_t bytes, minimeso_network *n)
{
    int status = MINIMESO_OK;
    int64_t step;
    if (bytes < MM_PLAN_HEAD || memcmp(plan, MM_PLAN_MAGIC, 8) ||
        mm_crc32(plan + MM_PLAN_HEAD, bytes - MM_PLAN_HEAD) != u32(plan + 8))
        return MINIMESO_BAD_PLAN;
    mm_reader r = {plan + MM_PLAN_HEAD, plan + bytes, 0};
    read_network(&r, n, &status);
    if (status)
        return status;
    const mm_program *p = &n->program;
    if (r.failed || p->arena_floats > MM_MAX_FLOATS || p->ring_floats > MM_MAX_FLOATS ||
        p->scratch_floats > MM_MAX_FLOATS || p->max_list > MM_MAX_FLOATS)
        return MINIMESO_BAD_PLAN;
    if (mm_check(p, &step) || !describe_arrays(n))
        return MINIMESO_BAD_PLAN;
    for (n->isa = MM_ISA_COUNT - 1; !mm_isa_supported(n->isa); n->isa--)
        ;
    status = mm_pool_new(n->threads, &n->pool);
    if (status)
        return status == MM_E_NOMEM ? MINIMESO_NO_MEMORY : MINIMESO_NO_THREADS;
    return reserve(n, 1);
}

/* --- minimeso_c_api.h ------------------------------------------------------------------------ */

int minimeso_api_version(void) { return MINIMESO_C_API_VERSION; }

int minimeso_open(const void *plan, size_t bytes, int threads, minimeso_network **network)
{
    *network = NULL;
    if (threads < 1)
        return MINIMESO_NO_THREADS;
    minimeso_network *n = calloc(1, sizeof *n);
    if (!n)
        return MINIMESO_NO_MEMORY;
    n->threads = threads;
    int status = open_network(plan, bytes, n);
    if (status)
        minimeso_close(n);
    else
        *network = n;
    return status;
}

void minimeso_close(minimeso_network *n)
{
    if (!n)
        return;
    if (n->pool)
        mm_pool_free(n->pool);
    free(n->tensors);
    free(n->steps);
    free(n->stages);
    free(n->constants);
    free(n->tables);
    free(n->parameters);
    free(n->quantized);
    free(n->names);
    free(n->memory);
    free(n);
}

const char *minimeso_isa(const minimeso_network *n) { return mm_isa_name(n->isa); }

int minimeso_set_isa(minimeso_network *n, const char *isa)
{
    for (int i = 0; i < MM_ISA_COUNT; i++)
        if (!strcmp(isa, mm_isa_name(i)) && mm_isa_supported(i)) {
            n->isa = i;
            return MINIMESO_OK;
        }
    return MINIMESO_NO_ISA;
}

int minimeso_input_count(const minimeso_network *n) { return n->program.input_count; }

int minimeso_output_count(const minimeso_network *n) { return n->program.output_count; }

static int array_of(const minimeso_network *n, int kind, int count, int i, minimeso_array *array)
{
    if (i < 0 || i >= count)
        return MINIMESO_NO_SUCH;
    *array = n->arrays[kind][i];
    return MINIMESO_OK;
}

int minimeso_input(const minimeso_network *n, int number, minimeso_array *array)
{
    return array_of(n, 0, n->program.input_count, number, array);
}

int minimeso_output(const minimeso_network *n, int number, minimeso_array *array)
{
    return array_of(n, 1, n->program.output_count, number, array);
}

int minimeso_thresholds(const minimeso_network *n, float *real, float *fake)
{
    if (!n->has_thresholds)
        return MINIMESO_NO_SUCH;
    *real = n->real;
    *fake = n->fake;
    return MINIMESO_OK;
}

int minimeso_run(minimeso_network *n, const void *const *inputs, float *const *outputs,
                 int64_t count)
{
    if (count < 0 || count > INT32_MAX / 2)
        return MINIMESO_NO_SUCH;
    const int at_once = count >= n->threads ? n->threads : 1;
    const int status = reserve(n, at_once);
    if (status)
        return status;
    void *aligned = (char *)n->memory + (64 - (uintptr_t)n->memory % 64) % 64;
    return mm_run(&n->program, n->isa, n->pool, inputs, outputs, count, aligned, at_once, NULL)
               ? MINIMESO_NO_ISA
               : MINIMESO_OK;
}

const char *minimeso_error(int status)
{
    switch (status) {
    case MINIMESO_OK:
        return "done";
    case MINIMESO_NO_MEMORY:
        return "out of memory";
    case MINIMESO_BAD_PLAN:
        return "no plan, a damaged one, or one of another version";
    case MINIMESO_NO_ISA:
        return "this machine or build lacks the instruction set";
    case MINIMESO_NO_THREADS:
        return "the system gave no thread";
    case MINIMESO_NO_SUCH:
        return "there is no array of that number, or no such count";
    default:
        return "unknown status";
    }
}

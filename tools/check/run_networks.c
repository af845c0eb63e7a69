/* run_networks.c - runs networks from a file, on every instruction set, and prints a checksum of
   each output, for a comparison with another machine's.

   `networks.py` writes the file: whole numbers as 8 bytes, floats and bytes as they are, all
   little-endian.  Which fields the structs have stands in struct_fields.h, which it writes, too. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "minimeso.h"
#include "struct_fields.h"

#define THREADS 2

static FILE *file;

static void *get(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p)
        exit(2);
    return p;
}

static uint64_t bytes(int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        int byte = getc(file);
        if (byte == EOF) {
            printf("the file ends too soon\n");
            exit(2);
        }
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static int64_t number(void) { return (int64_t)bytes(8); }

static float real(void)
{
    uint32_t bits = (uint32_t)bytes(4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double real64(void)
{
    uint64_t bits = bytes(8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float *reals(int64_t count)
{
    float *p = get((size_t)count, sizeof *p);
    for (int64_t i = 0; i < count; i++)
        p[i] = real();
    return p;
}

/* As zlib's. */
static uint32_t checksum, of_byte[256];
static void prepare_checksum(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        of_byte[i] = i;
        for (int k = 0; k < 8; k++)
            of_byte[i] = of_byte[i] >> 1 ^ (of_byte[i] & 1 ? 0xedb88320u : 0);
    }
}
static void add(uint64_t bits, int count)
{
    for (int i = 0; i < count; i++)
        checksum = checksum >> 8 ^ of_byte[(checksum ^ bits >> 8 * i) & 255];
}

static uint32_t of_reals(const float *x, int64_t count)
{
    checksum = 0xffffffffu;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        add(bits, 4);
    }
    return ~checksum;
}

static void read_program(mm_program *p)
{
#define INTEGER(name) p->name = number();
    PROGRAM_FIELDS(INTEGER)
#undef INTEGER
    mm_tensor *tensors = get((size_t)p->tensor_count, sizeof *tensors);
    mm_step *steps = get((size_t)p->step_count, sizeof *steps);
    mm_stage *stages = get((size_t)p->stage_count, sizeof *stages);
    int32_t *tables = get((size_t)p->table_count, sizeof *tables);
#define INTEGER(name) item->name = number();
#define REAL(name) item->name = real();
    for (mm_tensor *item = tensors; item < tensors + p->tensor_count; item++) {
        TENSOR_FIELDS(INTEGER, REAL)
    }
    for (mm_step *item = steps; item < steps + p->step_count; item++) {
        STEP_FIELDS(INTEGER, REAL)
    }
    for (mm_stage *item = stages; item < stages + p->stage_count; item++) {
        STAGE_FIELDS(INTEGER, REAL)
    }
    for (int64_t i = 0; i < p->table_count; i++)
        tables[i] = (int32_t)(uint32_t)bytes(4);
    p->tensors = tensors;
    p->steps = steps;
    p->stages = stages;
    p->tables = tables;
    p->constants = reals(p->constant_count);
    p->parameters = reals(p->parameter_count);
    uint8_t *quantized = get((size_t)p->quantized_count, 1);
    for (int64_t i = 0; i < p->quantized_count; i++)
        quantized[i] = (uint8_t)bytes(1);
    p->quantized = quantized;
}

static void run_program(const char *name)
{
    mm_program p;
    memset(&p, 0, sizeof p);
    read_program(&p);
    int64_t batch = number(), step;
    void **inputs = get((size_t)p.input_count, sizeof *inputs);
    for (int i = 0; i < p.input_count; i++) {
        int64_t size = number(), count = number();
        uint8_t *x = get((size_t)count, sizeof(float));
        inputs[i] = x;
        for (int64_t k = 0; k < count; k++)
            if (size == 1) {
                x[k] = (uint8_t)bytes(1);
            } else {
                float value = real();
                memcpy(x + 4 * k, &value, sizeof value);
            }
    }
    float **outputs = get((size_t)p.output_count, sizeof *outputs);
    int64_t *counts = get((size_t)p.output_count, sizeof *counts);
    for (int i = 0; i < p.output_count; i++) {
        counts[i] = number();
        outputs[i] = get((size_t)counts[i], sizeof(float));
    }
    int code = mm_check(&p, &step);
    if (code) {
        printf("%s: refused at step %" PRId64 ": %s\n", name, step, mm_strerror(code));
        exit(2);
    }
    mm_pool *pool;
    if (mm_pool_new(THREADS, &pool))
        exit(2);
    char *memory = get(1, mm_workspace_bytes(&p, THREADS, 1) + 64);
    void *workspace = memory + (64 - (uintptr_t)memory % 64) % 64;
    for (int isa = 0; isa < MM_ISA_COUNT; isa++) {
        if (!mm_isa_supported(isa))
            continue;
        for (int i = 0; i < p.output_count; i++)
            memset(outputs[i], 0xff, (size_t)counts[i] * sizeof(float));
        code =
            mm_run(&p, isa, pool, (const void *const *)inputs, outputs, batch, workspace, 1, NULL);
        for (int i = 0; !code && i < p.output_count; i++)
            printf("%s %s %d %08" PRIx32 "\n", mm_isa_name(isa), name, i,
                   of_reals(outputs[i], counts[i]));
    }
    mm_pool_free(pool); /* what else was taken ends with the process */
}

static void run_exact(void)
{
    static double (*const functions[])(double) = {mm_exp, mm_log, mm_expm1, mm_log1p};
    int64_t count = number();
    double *x = get((size_t)count, sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = real64();
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        double *y = get((size_t)count, sizeof *y), dot;
        for (int64_t i = 0; i < count; i++)
            y[i] = functions[f](x[i]);
        dot = mm_dot(x, y, (size_t)count);
        checksum = 0xffffffffu;
        for (int64_t i = -1; i < count; i++) {
            uint64_t bits;
            memcpy(&bits, i < 0 ? &dot : &y[i], sizeof bits);
            add(bits, 8);
        }
        printf("exact functions %d %08" PRIx32 "\n", (int)f, ~checksum);
        free(y);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2 || !(file = fopen(argv[1], "rb")))
        return 2;
    prepare_checksum();
    for (int64_t count = number(); count > 0; count--) {
        char name[64] = {0};
        for (int i = 0; i < 63; i++)
            name[i] = (char)bytes(1);
        run_program(name);
    }
    run_exact();
    fclose(file);
    return 0;
}

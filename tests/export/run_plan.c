/* run_plan.c - runs a plan file: PLAN ISA THREADS, inputs from standard input, outputs to standard
   output.  With HOSTILE: PLAN alone holds many, each behind its length as 4 bytes; those that can
   be opened run on zeros, and how many were is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minimeso_c_api.h"

#define MOST 256

static void *read_all(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*bytes + 1);
    if (fread(data, 1, *bytes, file) != *bytes)
        *bytes = 0;
    fclose(file);
    return data;
}

/* Runs it once; `in` NULL: on zeros. */
static int run_once(minimeso_network *n, FILE *in, FILE *out)
{
    void *inputs[MOST] = {NULL};
    float *outputs[MOST] = {NULL};
    minimeso_array a;
    int status = 0;
    for (int i = 0; i < minimeso_input_count(n) && !status; i++) {
        minimeso_input(n, i, &a);
        inputs[i] = calloc(1, a.bytes);
        status = !inputs[i] || (in && fread(inputs[i], 1, a.bytes, in) != a.bytes);
    }
    for (int i = 0; i < minimeso_output_count(n) && !status; i++) {
        minimeso_output(n, i, &a);
        status = !(outputs[i] = calloc(1, a.bytes));
    }
    if (!status)
        status = minimeso_run(n, (const void *const *)inputs, outputs, 1);
    for (int i = 0; i < minimeso_output_count(n) && !status && out; i++) {
        minimeso_output(n, i, &a);
        fwrite(outputs[i], 1, a.bytes, out);
    }
    for (int i = 0; i < MOST; i++) {
        free(inputs[i]);
        free(outputs[i]);
    }
    return status;
}

#ifdef HOSTILE
int main(int argc, char **argv)
{
    size_t bytes = 0, at = 0;
    unsigned char *all = argc > 1 ? read_all(argv[1], &bytes) : NULL;
    int opened = 0, refused = 0;
    while (all && at + 4 <= bytes) {
        size_t length = all[at] | all[at + 1] << 8 | all[at + 2] << 16;
        unsigned char *plan = malloc(length + 1); /* of its own, so that reading on is seen */
        minimeso_network *n;
        memcpy(plan, all + at + 4, length);
        at += 4 + length;
        if (minimeso_open(plan, length, 1 + opened % 2, &n) == MINIMESO_OK) {
            opened++;
            run_once(n, NULL, NULL);
            minimeso_close(n);
        } else {
            refused++;
        }
        free(plan);
    }
    free(all);
    printf("%d opened, %d refused\n", opened, refused);
    return 0;
}
#else
int main(int argc, char **argv)
{
    size_t bytes = 0;
    void *plan = argc > 3 ? read_all(argv[1], &bytes) : NULL;
    minimeso_network *n;
    if (!plan)
        return 2;
    int status = minimeso_open(plan, bytes, atoi(argv[3]), &n);
    free(plan);
    if (!status) {
        status = minimeso_set_isa(n, argv[2]);
        if (!status)
            status = run_once(n, stdin, stdout);
        minimeso_close(n);
    }
    if (status)
        fprintf(stderr, "%s\n", minimeso_error(status));
    return status ? 1 : 0;
}
#endif

/* describe_plan.c - says of a plan file what its inputs and outputs are: name, whether of bytes,
   rank and bytes, one a line; or why it cannot be opened. */
#include <stdio.h>
#include <stdlib.h>

#include "minimeso_c_api.h"

static void describe(const minimeso_array *a)
{
    printf("%s %d %d %llu\n", a->name, a->is_bytes, a->rank, (unsigned long long)a->bytes);
}

int main(int argc, char **argv)
{
    static char plan[1 << 20];
    minimeso_network *network;
    minimeso_array array;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file)
        return 1;
    size_t bytes = fread(plan, 1, sizeof plan, file);
    fclose(file);
    int status = minimeso_open(plan, bytes, 1, &network);
    if (status) {
        printf("%s\n", minimeso_error(status));
        return 0;
    }
    for (int i = 0; minimeso_input(network, i, &array) == MINIMESO_OK; i++)
        describe(&array);
    for (int i = 0; minimeso_output(network, i, &array) == MINIMESO_OK; i++)
        describe(&array);
    minimeso_close(network);
    return 0;
}

/* Every kernel of elementwise.c over few values and many, each array as large as it must be. */

#include "elementwise.c"

#include <stdlib.h>

static void *values(size_t count, size_t size)
{
    unsigned char *found = malloc(count ? count * size : 1);
    if (!found)
        exit(2);
    for (size_t k = 0; k < count * size; k++)
        found[k] = (unsigned char)(k * 37); /* also what is no number */
    return found;
}

int main(void)
{
    for (int kind = RELU; kind <= PISH; kind++)
        for (size_t count = 0; count < 40; count++) {
            float *x = values(count, sizeof *x), *y = values(count, sizeof *y);
            bf16 *x16 = values(count, sizeof *x16), *y16 = values(count, sizeof *y16);
            activation_float(kind, count, 0.1f, x, y);
            activation_gradient_float(kind, count, 0.1f, x, y, y);
            activation_bf16(kind, count, 0.1f, x16, y16);
            activation_gradient_bf16(kind, count, 0.1f, x16, y16, y16);
            free(x), free(y), free(x16), free(y16);
        }
    return 0;
}

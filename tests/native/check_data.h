/* check_data.h - what check_kernels.c feeds to kernels, and how it compares what they write. */
#ifndef CHECK_DATA_H
#define CHECK_DATA_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define GUARD 64
#define GUARD_VALUE 12345.678f

static int failures;
static const char *isa_name, *kernel_name;
static uint64_t state = 88172645463325252u;

static uint32_t random_bits(void) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static size_t random_below(size_t n) { return random_bits() % n; }
static float random_unit(void) { return (float)(random_bits() >> 8) / 8388608.0f - 1.0f; }

/* kind 0: plain numbers; 1: any bit pattern at all; 2: the special values among plain ones */
static float random_value(int kind)
{
    static const float special[] = {0.0f,   -0.0f,           1e-40f, -1e-40f, 3e38f,
                                    -3e38f, 88.0f,           -87.0f, -88.5f,  20.0f,
                                    0.625f, 1.17549435e-38f, 100.0f, -104.0f};
    uint32_t bits = random_bits();
    float value;
    if (kind == 1) {
        memcpy(&value, &bits, 4);
        return value;
    }
    if (kind == 2 && bits % 4 == 0) {
        size_t i = random_below(sizeof special / sizeof *special + 3);
        if (i == 0)
            return NAN;
        if (i < 3)
            return i == 1 ? INFINITY : -INFINITY;
        return special[i - 3];
    }
    return random_unit() * (bits % 8 ? 4.0f : 100.0f);
}

static float *random_array(size_t n, int kind)
{
    float *p = malloc((n ? n : 1) * sizeof *p);
    if (!p)
        exit(2);
    for (size_t i = 0; i < n; i++)
        p[i] = random_value(kind);
    return p;
}

/* An output between two guard zones. */
static float *guarded(size_t n)
{
    float *p = malloc((n + 2 * GUARD) * sizeof *p);
    if (!p)
        exit(2);
    for (size_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = GUARD_VALUE;
    return p + GUARD;
}
static void release(float *p) { free(p - GUARD); }

static void fail(const char *what, size_t n, size_t i, float wanted, float got)
{
    if (++failures <= 20)
        printf("FAIL %s %s: %s, n = %zu, at %zu: wanted %a, got %a\n", isa_name, kernel_name, what,
               n, i, (double)wanted, (double)got);
}

static int same(float a, float b) { return memcmp(&a, &b, 4) == 0 || (isnan(a) && isnan(b)); }

static void compare_rows(const char *what, const float *wanted, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!same(wanted[i], got[i])) {
            fail(what, n, i, wanted[i], got[i]);
            break;
        }
}

/* The first n elements agree; nothing was written beyond `room`. */
static void compare(const char *what, const float *wanted, const float *got, size_t n, size_t room)
{
    compare_rows(what, wanted, got, n);
    for (size_t i = 0; i < GUARD; i++)
        if (got[room + i] != GUARD_VALUE || got[-(ptrdiff_t)i - 1] != GUARD_VALUE) {
            fail("guard zone overwritten", n, i, GUARD_VALUE, got[room + i]);
            break;
        }
}

static size_t rounded(size_t n) { return (n + MM_LANES - 1) / MM_LANES * MM_LANES; }

/* Any activation or none: kernels apply those that are fused, and nothing for the others. */
static int random_epilogue(void) { return (int)random_below(MM_ACTIVATION_COUNT + 1) - 1; }

/* What a pool takes in, or nothing. */
static int random_pre_activation(void)
{
#define VALLEY(NAME, name) MM_##NAME,
    static const int some[] = {MM_VALLEY_ACTIVATIONS(VALLEY) MM_NO_ACTIVATION};
#undef VALLEY
    return some[random_below(sizeof some / sizeof *some)];
}

#endif

/* fuzz.h - what the parts of fuzz_programs.c share: a program while it is drawn, and chance. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

#define MAX_TENSORS 32
#define MAX_STEPS 24
#define MAX_TABLE 512
#define MAX_ARRAYS 24
#define POOLS 3

#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#define HAS_MSAN 1
#endif
#endif
#ifndef HAS_MSAN
#define HAS_MSAN 0
#endif

/* A program while it is drawn; what has been allocated follows from it later. */
typedef struct {
    mm_program p;
    mm_tensor tensors[MAX_TENSORS];
    mm_step steps[MAX_STEPS];
    mm_stage stages[MAX_STEPS];
    int32_t tables[MAX_TABLE];
    int64_t chain, chain_count; /* steps that share a stage */
} draft_t;

/* --- chance ----------------------------------------------------------------------------- */

void start_chance(uint64_t seed);
uint32_t random_bits(void);
int32_t below(int32_t n);
int32_t between(int32_t low, int32_t high);
int one_in(int32_t n);
void *fill(void *p, size_t bytes); /* any bit pattern */
/* Allocated to the element. */
void *exactly(size_t bytes);
float *random_floats(int64_t count);

/* --- fuzz_draw.c: programs that are right ----------------------------------------------- */

/* Returns the step of `op`; another may stand before it, or an output behind. */
mm_step *draw(draft_t *d, int32_t op);

/* --- fuzz_memory.c ---------------------------------------------------------------------- */

int32_t new_tensor(draft_t *d, int32_t channels, int32_t height, int32_t width, int vector);
/* What the engine says of a step. */
mm_needs needs_of(const draft_t *d, int64_t step);
/* Lay the tensors behind one another, in any order, into the smallest arena. */
void place(draft_t *d);
/* Room for the last vector that a step loads. */
void add_reach(draft_t *d);

/* --- fuzz_change.c: programs that are wrong, or nearly ---------------------------------- */

/* What was drawn stays within its room: counts of it may only shrink. */
void change(draft_t *d, mm_step *focus);

/* --- fuzz_run.c: what comes out --------------------------------------------------------- */

int start_pools(void);
void free_pools(void);
/* Whether it asks for no more memory and time than a check should take. */
int small_enough(const mm_program *p);
/* On every instruction set, in every way; unchanged (`plain`) programs must give the same bits.
   `number` is for messages. */
void run_program(const mm_program *p, long number, int plain);
/* Runs of plain programs with other bits, and times that ran backwards. */
extern long differences, backwards;

#endif

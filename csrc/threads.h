/* threads.h - what the engine wants of the system: a small pool of threads, and the time. */
#ifndef MINIMESO_THREADS_H
#define MINIMESO_THREADS_H

#include "minimeso.h"

/* Most pieces of a job. */
#define MM_MAX_PIECES 0xffff

/* A thread's part of a job. */
typedef struct {
    mm_pool *pool;
    int thread;
    int32_t piece, end; /* end: of the job, where the thread is alone; else 0 */
    int32_t taken;      /* pieces so far, where it is not */
    int is_fresh;       /* `piece` is still to be given */
} mm_share;

/* What a thread does: asks mm_pool_piece for pieces until there are none, and touches nothing of
   the context after that. */
typedef void mm_task(void *context, mm_share *share);

/* Run the pieces 0 .. count - 1 of a job, each once, on whichever threads have time, the caller's
   among them; returns when all are done.  `lost`: how many pieces' work it costs to begin anywhere
   but at 0. */
void mm_pool_run(mm_pool *pool, mm_task *task, void *context, int64_t count, int64_t lost);
int mm_pool_threads(const mm_pool *pool);

/* Inside a task: the next piece, which follows the one before; -1: there is none.  The one before
   counts as done. */
int64_t mm_pool_piece(mm_share *share);

/* Since some moment in the past; never runs backwards. */
int64_t mm_nanoseconds(void);

#endif

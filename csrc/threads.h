/* threads.h - what the engine wants of the system: a small pool of threads, an atomic counter, and
   the time. */
#ifndef MINIMESO_THREADS_H
#define MINIMESO_THREADS_H

#include "minimeso.h"

/* Run task(context, thread) for thread = 0 .. threads - 1, thread 0 on the caller; returns when
   all have returned. */
typedef void mm_task(void *context, int thread);
void mm_pool_run(mm_pool *pool, mm_task *task, void *context);
int mm_pool_threads(const mm_pool *pool);
/* Inside a task: returns when all threads of the pool have come here. */
void mm_pool_barrier(mm_pool *pool);

/* The value before adding 1. */
int32_t mm_atomic_next(volatile int32_t *counter);

/* Since some moment in the past; never runs backwards. */
int64_t mm_nanoseconds(void);

#endif

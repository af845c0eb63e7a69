/* threads.c - a pool that waits kindly: a short spin, since the steps of a network are short, then
   sleep, since the other core may be busy with something else. */
#define _POSIX_C_SOURCE 200112L /* clock_gettime */
#include "threads.h"

#include <stdlib.h>

#include "system_threads.h"

/* about 200 us: longer than the usual wait between two stages (waking a sleeper takes 50 us, and a
   network has ten stages), short against a time slice */
#define SPINS 4000

int64_t mm_nanoseconds(void)
{
#if defined(_WIN32)
    LARGE_INTEGER ticks, rate; /* ticks a second */
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    int64_t seconds = ticks.QuadPart / rate.QuadPart, rest = ticks.QuadPart % rate.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / rate.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

/* Sleepers, and how many there may be: whoever has changed what they wait for looks here first, so
   that nobody takes a lock while all are awake. */
typedef struct {
    condition_t rung;
    volatile int32_t sleepers;
} bell_t;

/* What a thread has left of the job: the next piece, and the end, in one word.  Its owner takes
   from the front, so that what it does hangs together, the others from the back.  Lines of a cache
   apart. */
typedef struct {
    volatile int32_t range;
    char apart[60];
} part_t;

typedef struct {
    mm_pool *pool;
    int thread;
} worker_t;

struct mm_pool {
    int threads;
    lock_t lock;
    bell_t begun, over;
    volatile int32_t round; /* jobs begun; only grows, and is compared for equality: it may wrap */
    volatile int32_t stop;
    volatile int32_t done;    /* pieces of the job */
    volatile int32_t arrived; /* threads that have taken some of it */
    /* Of the job; whoever has a piece of it may read them, as it cannot end before that. */
    mm_task *task;
    void *context;
    int32_t count;
    volatile int32_t lost; /* others look at it, too, to see whether they want a piece */
    int64_t credit;        /* nanoseconds, see `settle` */
    part_t *parts;
    thread_t *handles;
    worker_t *workers;
};

static int32_t range_of(int32_t next, int32_t end)
{
    return (int32_t)((uint32_t)next << 16 | (uint32_t)end);
}
static int32_t next_of(int32_t range) { return (int32_t)((uint32_t)range >> 16); }
static int32_t end_of(int32_t range) { return (int32_t)((uint32_t)range & 0xffff); }

static int is_so(volatile int32_t *word, int32_t value, int equal)
{
    return (atomic_load(word) == value) == equal;
}

/* Wait until *word is (`equal`) or is no longer a value. */
static void wait_until(mm_pool *pool, bell_t *bell, volatile int32_t *word, int32_t value,
                       int equal)
{
    for (int i = 0; i < SPINS; i++) {
        if (is_so(word, value, equal))
            return;
        if (i > SPINS / 10 && i % 16 == 0)
            yield_core(); /* whom we wait for may want this very core */
        else
            cpu_relax();
    }
    lock(&pool->lock);
    atomic_add(&bell->sleepers, 1);
    while (!is_so(word, value, equal)) /* after the line above: who changes it sees us */
        condition_wait(&bell->rung, &pool->lock);
    atomic_add(&bell->sleepers, -1);
    unlock(&pool->lock);
}

static void ring(mm_pool *pool, bell_t *bell)
{
    if (!atomic_load(&bell->sleepers))
        return;
    lock(&pool->lock);
    condition_wake(&bell->rung);
    unlock(&pool->lock);
}

/* Take pieces from whoever has most left, if the work that is lost by that is worth it; the first
   is the thread's, the others may be taken again.  The job is whatever it is by then: a thread that
   comes too late for one finds the next, or nothing. */
static int steal(mm_pool *pool, mm_share *share)
{
    for (;;) {
        int32_t lost = atomic_load(&pool->lost);
        int victim = -1;
        int32_t range = 0, most = 0;
        for (int i = 0; i < pool->threads; i++) {
            int32_t found = atomic_load(&pool->parts[i].range);
            int32_t left = end_of(found) - next_of(found);
            if (i != share->thread && left > most)
                victim = i, range = found, most = left;
        }
        if (victim < 0 || most < 2 * lost + 1)
            return 0;
        /* so that the caller and all who have not come yet are over at the same time */
        int32_t others = victim ? 1 : pool->threads - atomic_load(&pool->arrived);
        int32_t parts = (others > 1 ? others : 1) + 1;
        int32_t first = end_of(range) - (most + parts - 1) / parts;
        if (!atomic_swap(&pool->parts[victim].range, range, range_of(next_of(range), first)))
            continue;
        atomic_add(&pool->arrived, 1);
        share->piece = first;
        share->is_fresh = 1;
        atomic_store(&pool->parts[share->thread].range, range_of(first + 1, end_of(range)));
        return 1;
    }
}

int64_t mm_pool_piece(mm_share *share)
{
    mm_pool *pool = share->pool;
    if (share->is_fresh) {
        share->is_fresh = 0;
        share->taken++;
        return share->piece;
    }
    if (share->end) /* alone */
        return ++share->piece < share->end ? share->piece : -1;
    int32_t count = pool->count; /* no more when the piece is counted as done */
    if (atomic_add(&pool->done, 1) == count - 1)
        ring(pool, &pool->over);
    volatile int32_t *part = &pool->parts[share->thread].range;
    for (;;) {
        int32_t range = atomic_load(part), next = next_of(range), end = end_of(range);
        if (next >= end)
            return -1;
        if (atomic_swap(part, range, range_of(next + 1, end))) {
            share->taken++;
            return share->piece = next;
        }
    }
}

static void work(const worker_t *worker)
{
    mm_pool *pool = worker->pool;
    for (;;) {
        mm_share share = {.pool = pool, .thread = worker->thread}; /* anew: it counts pieces */
        int32_t round = atomic_load(&pool->round);
        if (atomic_load(&pool->stop))
            return;
        while (steal(pool, &share))
            pool->task(pool->context, &share);
        wait_until(pool, &pool->begun, &pool->round, round, 0);
    }
}

#if defined(_WIN32)
static DWORD WINAPI entry(void *worker)
{
    work(worker);
    return 0;
}
static int start(thread_t *handle, worker_t *worker)
{
    *handle = CreateThread(NULL, 0, entry, worker, 0, NULL);
    return *handle ? 0 : -1;
}
static void join(thread_t handle)
{
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
}
#else
static void *entry(void *worker)
{
    work(worker);
    return NULL;
}
static int start(thread_t *handle, worker_t *worker)
{
    return pthread_create(handle, NULL, entry, worker);
}
static void join(thread_t handle) { pthread_join(handle, NULL); }
#endif

static void free_memory(mm_pool *pool)
{
    free(pool->handles);
    free(pool->workers);
    free(pool->parts);
    free(pool);
}

static void next_round(mm_pool *pool)
{
    atomic_add(&pool->round, 1);
    ring(pool, &pool->begun);
}

/* End a pool of which so many threads were started, the caller's counted. */
static void end(mm_pool *pool, int started)
{
    atomic_store(&pool->stop, 1);
    next_round(pool);
    for (int i = 1; i < started; i++)
        join(pool->handles[i]);
    condition_free(&pool->begun.rung);
    condition_free(&pool->over.rung);
    lock_free(&pool->lock);
    free_memory(pool);
}

int mm_pool_new(int threads, mm_pool **out)
{
    *out = NULL;
    if (threads < 1)
        return MM_E_THREADS;
    mm_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return MM_E_NOMEM;
    pool->handles = calloc((size_t)threads, sizeof *pool->handles);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    pool->parts = calloc((size_t)threads, sizeof *pool->parts);
    if (!pool->handles || !pool->workers || !pool->parts) {
        free_memory(pool);
        return MM_E_NOMEM;
    }
    lock_init(&pool->lock);
    condition_init(&pool->begun.rung);
    condition_init(&pool->over.rung);
    pool->threads = threads;
    int code = MM_OK, started = 1;
    for (; started < threads; started++) {
        pool->workers[started].pool = pool;
        pool->workers[started].thread = started;
        if (start(&pool->handles[started], &pool->workers[started])) {
            code = MM_E_THREADS;
            break;
        }
    }
    if (code != MM_OK) {
        end(pool, started);
        return code;
    }
    *out = pool;
    return MM_OK;
}

void mm_pool_free(mm_pool *pool)
{
    if (pool)
        end(pool, pool->threads);
}

int mm_pool_threads(const mm_pool *pool) { return pool->threads; }

/* What a job may cost more with other threads than alone: this share of its time, on average. */
#define ALLOWED 32
/* Nanoseconds: so much less than nothing is forgotten (a debugger has stopped us), and so much of
   what was gained is remembered. */
#define WORST (-4 * 1000 * 1000)
#define BEST (1000 * 1000)

/* A core that something else wants takes a thread away in the middle of its piece, for milliseconds
   that the caller then waits.  So there is an account: on it go what a job took less than the
   caller would have alone, and the share that may be lost; where it is in the red, the caller works
   alone.  `busy`: until the caller had nothing left to do, which was `taken` pieces.  In doubles: a
   process may be stopped for days in the middle of a job. */
static void settle(mm_pool *pool, int64_t busy, int64_t all, int32_t taken)
{
    double alone = (double)busy * pool->count / taken;
    double credit = (double)pool->credit + alone / ALLOWED + (alone - (double)all);
    pool->credit = credit < WORST ? WORST : credit > BEST ? BEST : (int64_t)credit;
}

void mm_pool_run(mm_pool *pool, mm_task *task, void *context, int64_t count, int64_t lost)
{
    mm_share share = {.pool = pool, .is_fresh = 1};
    if (count < 1)
        return;
    pool->count = (int32_t)count;
    if (pool->threads == 1 || count < 2 * lost + 2) {
        share.end = (int32_t)count;
        task(context, &share);
        return;
    }
    int64_t start = mm_nanoseconds();
    if (pool->credit < 0) {
        share.end = (int32_t)count;
        task(context, &share);
        int64_t all = mm_nanoseconds() - start;
        settle(pool, all, all, share.end);
        return;
    }
    pool->task = task;
    pool->context = context;
    atomic_store(&pool->lost, (int32_t)lost);
    atomic_store(&pool->done, 0);
    atomic_store(&pool->arrived, 1);
    atomic_store(&pool->parts[0].range, range_of(1, (int32_t)count));
    next_round(pool);
    do
        task(context, &share);
    while (steal(pool, &share));
    int64_t busy = mm_nanoseconds() - start;
    wait_until(pool, &pool->over, &pool->done, (int32_t)count, 1);
    settle(pool, busy, mm_nanoseconds() - start, share.taken);
}

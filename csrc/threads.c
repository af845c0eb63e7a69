/* threads.c - a pool that waits kindly: a short spin, since the steps of a network are short, then
   sleep, since the other core may be busy with something else. */
#define _POSIX_C_SOURCE 200112L /* clock_gettime */
#include "threads.h"

#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
typedef SRWLOCK lock_t;
typedef CONDITION_VARIABLE condition_t;
typedef HANDLE thread_t;
#define lock_init(l) InitializeSRWLock(l)
#define lock_free(l) (void)(l)
#define lock(l) AcquireSRWLockExclusive(l)
#define unlock(l) ReleaseSRWLockExclusive(l)
#define condition_init(c) InitializeConditionVariable(c)
#define condition_free(c) (void)(c)
#define condition_wait(c, l) SleepConditionVariableSRW(c, l, INFINITE, 0)
#define condition_wake(c) WakeAllConditionVariable(c)
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
typedef pthread_mutex_t lock_t;
typedef pthread_cond_t condition_t;
typedef pthread_t thread_t;
#define lock_init(l) pthread_mutex_init(l, NULL)
#define lock_free(l) pthread_mutex_destroy(l)
#define lock(l) pthread_mutex_lock(l)
#define unlock(l) pthread_mutex_unlock(l)
#define condition_init(c) pthread_cond_init(c, NULL)
#define condition_free(c) pthread_cond_destroy(c)
#define condition_wait(c, l) pthread_cond_wait(c, l)
#define condition_wake(c) pthread_cond_broadcast(c)
#endif

#if defined(_MSC_VER)
#include <intrin.h>
#if defined(_M_ARM64)
#define cpu_relax() __yield()
#else
#define cpu_relax() _mm_pause()
#endif
static int32_t atomic_load(volatile int32_t *p) { return InterlockedOr((volatile LONG *)p, 0); }
static void atomic_store(volatile int32_t *p, int32_t v)
{
    InterlockedExchange((volatile LONG *)p, v);
}
static int32_t atomic_add(volatile int32_t *p, int32_t v)
{
    return InterlockedExchangeAdd((volatile LONG *)p, v);
}
#else
#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ volatile("yield")
#else
#define cpu_relax() (void)0
#endif
static int32_t atomic_load(volatile int32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void atomic_store(volatile int32_t *p, int32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}
static int32_t atomic_add(volatile int32_t *p, int32_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
}
#endif

static void yield_core(void)
{
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* about 200 us: longer than the usual wait between two stages (waking a sleeper takes 50 us, and a
   network has ten stages), short against a time slice */
#define SPINS 4000

int32_t mm_atomic_next(volatile int32_t *counter) { return atomic_add(counter, 1); }

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

typedef struct {
    mm_pool *pool;
    int thread;
} worker_t;

struct mm_pool {
    int threads;
    lock_t lock;
    condition_t changed;
    /* counters that only grow: compared for equality, so they may wrap */
    volatile int32_t round;  /* tasks begun */
    volatile int32_t phase;  /* barriers passed */
    volatile int32_t inside; /* threads that wait at the barrier */
    volatile int32_t stop;
    mm_task *task;
    void *context;
    thread_t *handles;
    worker_t *workers;
};

/* Wait until *word is no longer `old`. */
static void wait_change(mm_pool *pool, volatile int32_t *word, int32_t old)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(word) != old)
            return;
        if (i > SPINS / 10 && i % 16 == 0)
            yield_core(); /* whom we wait for may want this very core */
        else
            cpu_relax();
    }
    lock(&pool->lock);
    while (atomic_load(word) == old)
        condition_wait(&pool->changed, &pool->lock);
    unlock(&pool->lock);
}

/* Set *word and wake who sleeps on it; under the lock, so that no wake-up is lost. */
static void change(mm_pool *pool, volatile int32_t *word, int32_t value)
{
    lock(&pool->lock);
    atomic_store(word, value);
    condition_wake(&pool->changed);
    unlock(&pool->lock);
}

void mm_pool_barrier(mm_pool *pool)
{
    if (pool->threads == 1)
        return;
    int32_t phase = atomic_load(&pool->phase);
    if (atomic_add(&pool->inside, 1) == pool->threads - 1) {
        atomic_store(&pool->inside, 0);
        change(pool, &pool->phase, (int32_t)((uint32_t)phase + 1));
    } else {
        wait_change(pool, &pool->phase, phase);
    }
}

static void work(const worker_t *worker)
{
    mm_pool *pool = worker->pool;
    int32_t round = 0;
    for (;;) {
        wait_change(pool, &pool->round, round);
        round = atomic_load(&pool->round);
        if (atomic_load(&pool->stop))
            return;
        pool->task(pool->context, worker->thread);
        mm_pool_barrier(pool);
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
    if (!pool->handles || !pool->workers) {
        free(pool->handles);
        free(pool->workers);
        free(pool);
        return MM_E_NOMEM;
    }
    lock_init(&pool->lock);
    condition_init(&pool->changed);
    pool->threads = 1;
    int code = MM_OK;
    for (int i = 1; i < threads && code == MM_OK; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].thread = i;
        if (start(&pool->handles[i], &pool->workers[i]))
            code = MM_E_THREADS;
        else
            pool->threads++;
    }
    if (code != MM_OK) {
        mm_pool_free(pool);
        return code;
    }
    *out = pool;
    return MM_OK;
}

void mm_pool_free(mm_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, 1);
    change(pool, &pool->round, (int32_t)((uint32_t)atomic_load(&pool->round) + 1));
    for (int i = 1; i < pool->threads; i++)
        join(pool->handles[i]);
    condition_free(&pool->changed);
    lock_free(&pool->lock);
    free(pool->handles);
    free(pool->workers);
    free(pool);
}

int mm_pool_threads(const mm_pool *pool) { return pool->threads; }

void mm_pool_run(mm_pool *pool, mm_task *task, void *context)
{
    pool->task = task;
    pool->context = context;
    if (pool->threads > 1)
        change(pool, &pool->round, (int32_t)((uint32_t)atomic_load(&pool->round) + 1));
    task(context, 0);
    mm_pool_barrier(pool);
}

/* system_threads.h - locks, conditions, threads' handles and atomic words, as POSIX, Windows, GCC
   and MSVC have them; for threads.c alone. */
#ifndef MINIMESO_SYSTEM_THREADS_H
#define MINIMESO_SYSTEM_THREADS_H

#include <stdint.h>

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
static inline int32_t atomic_load(volatile int32_t *p)
{
    return InterlockedOr((volatile LONG *)p, 0);
}
static inline void atomic_store(volatile int32_t *p, int32_t v)
{
    InterlockedExchange((volatile LONG *)p, v);
}
static inline int32_t atomic_add(volatile int32_t *p, int32_t v)
{
    return InterlockedExchangeAdd((volatile LONG *)p, v);
}
static inline int atomic_swap(volatile int32_t *p, int32_t old, int32_t v)
{
    return InterlockedCompareExchange((volatile LONG *)p, v, old) == old;
}
#else
#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ volatile("yield")
#else
#define cpu_relax() (void)0
#endif
static inline int32_t atomic_load(volatile int32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline void atomic_store(volatile int32_t *p, int32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}
static inline int32_t atomic_add(volatile int32_t *p, int32_t v)
{
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
}
/* Whether *p was `old` and is v now. */
static inline int atomic_swap(volatile int32_t *p, int32_t old, int32_t v)
{
    return __atomic_compare_exchange_n(p, &old, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#endif

static inline void yield_core(void)
{
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

#endif

/* check_threads.c - a pool does each piece of a job once, whoever comes late or in the middle of
   the next job, and works alone where others cost more than they bring. */
#include "threads.c"

#include <stdio.h>

#define MOST_THREADS 4

static int failures;

#define CHECK(condition, text)                                                                     \
    do                                                                                             \
        if (!(condition)) {                                                                        \
            printf("FAIL %s\n", text);                                                             \
            failures++;                                                                            \
        }                                                                                          \
    while (0)

static uint32_t state = 1;
static int32_t below(int32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (int32_t)((uint64_t)(state >> 8) * (uint32_t)n >> 24);
}

static void pass(int64_t nanoseconds)
{
    for (int64_t end = mm_nanoseconds() + nanoseconds; mm_nanoseconds() < end;)
        yield_core();
}

/* --- each piece once --------------------------------------------------------------------- */

typedef struct {
    int *pieces; /* how often each was done; not atomic: a sanitizer would see two at once */
    int64_t slow[MOST_THREADS], late[MOST_THREADS]; /* nanoseconds a piece, and at first */
    int apart;                                      /* pieces that did not follow one another */
} job_t;

static void count_pieces(void *context, mm_share *share)
{
    job_t *job = context;
    int64_t before = -1;
    pass(job->late[share->thread]);
    for (int64_t piece; (piece = mm_pool_piece(share)) >= 0; before = piece) {
        job->pieces[piece]++;
        if (before >= 0 && piece != before + 1)
            job->apart = 1; /* only ever set by who fails */
        pass(job->slow[share->thread]);
    }
}

static void check_pieces(int threads, int jobs)
{
    mm_pool *pool;
    static int pieces[MM_MAX_PIECES];
    if (mm_pool_new(threads, &pool))
        exit(2);
    for (int n = 0; n < jobs; n++) {
        int count = below(50) ? 1 + below(below(4) ? 12 : 300) : MM_MAX_PIECES;
        job_t job = {.pieces = pieces};
        for (int i = 0; i < threads; i++) {
            job.slow[i] = count < 13 && !below(3) ? below(20000) : 0;
            job.late[i] = !below(4) ? below(300000) : 0;
        }
        for (int i = 0; i < count; i++)
            pieces[i] = 0;
        pool->credit = 0; /* or few jobs would be shared */
        mm_pool_run(pool, count_pieces, &job, count, below(5));
        int wrong = 0;
        for (int i = 0; i < count; i++)
            wrong += pieces[i] != 1;
        CHECK(!wrong, "a piece was not done once");
        CHECK(!job.apart, "pieces did not follow one another");
    }
    mm_pool_free(pool);
}

/* --- alone ------------------------------------------------------------------------------- */

typedef struct {
    volatile int32_t others; /* pieces that were not the caller's */
    int64_t slow;
    int is_awaited; /* whether the caller waits for others before it goes on */
} waiting_t;

static void wait_for_others(void *context, mm_share *share)
{
    waiting_t *job = context;
    while (mm_pool_piece(share) >= 0)
        if (share->thread) {
            atomic_add(&job->others, 1);
            pass(job->slow);
        } else {
            int64_t end = mm_nanoseconds() + (int64_t)5e9;
            while (job->is_awaited && !atomic_load(&job->others) && mm_nanoseconds() < end)
                yield_core();
        }
}

static int32_t others(mm_pool *pool, int64_t slow, int is_awaited)
{
    waiting_t job = {.slow = slow, .is_awaited = is_awaited};
    mm_pool_run(pool, wait_for_others, &job, 8, 0);
    return job.others;
}

static void check_alone(void)
{
    mm_pool *pool;
    if (mm_pool_new(2, &pool))
        exit(2);
    pool->credit = 0;
    CHECK(others(pool, 0, 1) > 0, "nobody helps");
    int64_t before = pool->credit = BEST;
    settle(pool, 1000, 3000000, 1);
    CHECK(pool->credit < 0 && pool->credit < before, "what was lost is not noticed");
    CHECK(others(pool, 0, 0) == 0, "somebody helps who costs more than he brings");
    for (int n = 0; pool->credit < 0 && n < 1000; n++)
        settle(pool, 1000000, 1000000, pool->count);
    CHECK(pool->credit >= 0, "nobody is ever asked again");
    CHECK(others(pool, 1000, 1) > 0, "nobody helps again");
    settle(pool, 1, INT64_MAX / 2, 1);
    CHECK(pool->credit == WORST, "a long stop is never forgotten");
    settle(pool, INT64_MAX / 2, INT64_MAX / 2, 1);
    CHECK(pool->credit == BEST, "a caller that was stopped while it worked is in the red");
    mm_pool_free(pool);
}

int main(int count, char **arguments)
{
    int jobs = count > 1 ? atoi(arguments[1]) : 1000;
    for (int threads = 1; jobs && threads <= MOST_THREADS; threads++)
        check_pieces(threads, jobs);
    if (jobs)
        check_alone();
    printf("%d failures\n", failures);
    return failures != 0;
}

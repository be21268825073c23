#include "pool.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "thread.h"

/* Phases are microseconds apart, so waiting threads spin first; they sleep soon after, because a
 * core that spins while its neighbour needs it makes everybody wait. */
enum { SPINS = 4000 };

/* Sizes of work are told apart by their highest bit. Of two ways to do it, one thread or all, the
 * slower is tried again every so many times, and as often in a row as shows its speed: the first
 * time, threads that have slept wake up. */
enum { SIZES = 16, TRY_OTHER = 256, TRIES = 4 };

typedef struct {
    double us[2]; /* running mean: of one thread, of all; 0 before the first time */
    int32_t runs;
} timing;

struct gpt2_pool {
    atomic_int n_threads;
    int32_t n_helpers;
    pthread_t *helpers;
    void (*work)(void *, int32_t);
    void *argument;
    atomic_int stopping;
    int32_t active; /* threads at work: 1 or n_threads */
    timing timings[SIZES];

    /* The barrier: the last to arrive opens the next phase. */
    atomic_int arrived;
    atomic_uint phase;
    atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t opened;
};

typedef struct {
    gpt2_pool *pool;
    int32_t thread;
} helper_start;

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void meet(gpt2_pool *pool) {
    unsigned phase = atomic_load(&pool->phase);
    int before = atomic_fetch_add(&pool->arrived, 1);
    if (before == atomic_load(&pool->n_threads) - 1) {
        atomic_store(&pool->arrived, 0);
        atomic_fetch_add(&pool->phase, 1);
        if (atomic_load(&pool->sleepers) > 0) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_broadcast(&pool->opened);
            pthread_mutex_unlock(&pool->lock);
        }
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->phase, memory_order_acquire) != phase) return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->phase) == phase) pthread_cond_wait(&pool->opened, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

void gpt2_pool_barrier(gpt2_pool *pool) {
    if (pool->active > 1) meet(pool);
}

static void *helper(void *start) {
    helper_start s = *(helper_start *)start;
    free(start);
    for (;;) {
        meet(s.pool); /* opened by run() or free() */
        if (atomic_load(&s.pool->stopping)) return NULL;
        s.pool->work(s.pool->argument, s.thread);
        meet(s.pool);
    }
}

gpt2_pool *gpt2_pool_new(int32_t n_threads) {
    gpt2_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->n_threads = n_threads < 1 ? 1 : n_threads;
    pool->active = 1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->opened, NULL);
    pool->helpers = calloc((size_t)pool->n_threads, sizeof *pool->helpers);
    for (int32_t i = 1; pool->helpers && i < pool->n_threads; i++) {
        helper_start *start = malloc(sizeof *start);
        if (start) *start = (helper_start){pool, i};
        if (!start || gpt2_thread_start(&pool->helpers[pool->n_helpers], helper, start) != 0) {
            free(start);
            break;
        }
        pool->n_helpers++;
    }
    if (pool->n_helpers != pool->n_threads - 1 || !pool->helpers) {
        /* Those that started wait at a barrier sized for all: shrink it to let them leave. */
        pool->n_threads = pool->n_helpers + 1;
        gpt2_pool_free(pool);
        return NULL;
    }
    return pool;
}

void gpt2_pool_free(gpt2_pool *pool) {
    atomic_store(&pool->stopping, 1);
    meet(pool);
    for (int32_t i = 0; i < pool->n_helpers; i++) pthread_join(pool->helpers[i], NULL);
    pthread_cond_destroy(&pool->opened);
    pthread_mutex_destroy(&pool->lock);
    free(pool->helpers);
    free(pool);
}

void gpt2_pool_run(gpt2_pool *pool, int32_t size, void (*work)(void *, int32_t), void *argument) {
    int32_t bucket = 0;
    while (bucket < SIZES - 1 && size >> (bucket + 1)) bucket++;
    timing *t = &pool->timings[bucket];
    int all = t->us[1] <= t->us[0], was = pool->active;
    if (t->runs < 2 * TRIES)
        all = t->runs < TRIES;
    else if (t->runs % TRY_OTHER < TRIES)
        all = !all;
    if (pool->n_threads == 1) all = 0;
    t->runs = t->runs < INT32_MAX ? t->runs + 1 : 2 * TRIES;

    int64_t began = gpt2_now_us();
    pool->work = work;
    pool->argument = argument;
    pool->active = all ? pool->n_threads : 1;
    if (all) meet(pool);
    work(argument, 0);
    if (all) meet(pool);
    /* One moment's pause must not decide for many runs. */
    double us = (double)(gpt2_now_us() - began), *mean = &t->us[all];
    if (pool->active != was) return;
    if (*mean == 0) *mean = us;
    *mean += ((us < 2 * *mean ? us : 2 * *mean) - *mean) / 8;
}

int32_t gpt2_pool_threads(const gpt2_pool *pool) { return pool->n_threads; }

void gpt2_pool_share(const gpt2_pool *pool, int32_t thread, int32_t n, int32_t *begin,
                     int32_t *end) {
    *begin = (int32_t)((int64_t)n * thread / pool->active);
    *end = (int32_t)((int64_t)n * (thread + 1) / pool->active);
}

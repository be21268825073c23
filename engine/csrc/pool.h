/* A few threads that run one function together, phase by phase. */
#ifndef GPT2_POOL_H
#define GPT2_POOL_H

#include <stdint.h>

typedef struct gpt2_pool gpt2_pool;

/* n_threads in all, the caller of gpt2_pool_run() among them. NULL when they cannot be had. */
gpt2_pool *gpt2_pool_new(int32_t n_threads);
void gpt2_pool_free(gpt2_pool *pool);

/* Runs work(argument, thread), 0 <= thread < n_threads, and returns when it is done: on every
 * thread, or on the caller's alone where that has been faster lately for work of this size (1 or
 * more, in any unit). Threads that meet thousands of times a second wait for each other, and where
 * other programs want the processors, that is a long time. */
void gpt2_pool_run(gpt2_pool *pool, int32_t size, void (*work)(void *argument, int32_t thread),
                   void *argument);

/* Inside work(): waits until every thread that runs it has come here. */
void gpt2_pool_barrier(gpt2_pool *pool);

int32_t gpt2_pool_threads(const gpt2_pool *pool);

/* Inside work(): the share [*begin, *end) of n items that one thread takes. */
void gpt2_pool_share(const gpt2_pool *pool, int32_t thread, int32_t n, int32_t *begin,
                     int32_t *end);

#endif

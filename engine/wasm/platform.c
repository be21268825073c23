/* What the core asks of the machine it runs on: here, one thread and 128-bit vectors. */
#include "kernels.h"
#include "pool.h"

int32_t gpt2_pool_threads(const gpt2_pool *pool) {
    (void)pool;
    return 1;
}

void gpt2_pool_barrier(gpt2_pool *pool) { (void)pool; }

void gpt2_pool_share(const gpt2_pool *pool, int32_t thread, int32_t n, int32_t *begin,
                     int32_t *end) {
    (void)pool;
    (void)thread;
    *begin = 0;
    *end = n;
}

const gpt2_kernels *gpt2_kernels_select(void) { return &gpt2_kernels_portable; }

/* The choice of kernels at run time. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

static int can_run(const gpt2_kernels *k) {
#if defined(__x86_64__)
    if (k == &gpt2_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni");
    /* F16C is as old as AVX; not every compiler's builtin knows its name. */
    if (k == &gpt2_kernels_avx2) return __builtin_cpu_supports("avx2");
#endif
    return k == &gpt2_kernels_portable;
}

const gpt2_kernels *gpt2_kernels_select(void) {
    static const gpt2_kernels *const all[] = {
#if defined(__x86_64__)
        &gpt2_kernels_avx512,
        &gpt2_kernels_avx2,
#endif
        &gpt2_kernels_portable,
    };
    const char *forced = getenv("GPT2_KERNEL");
    const gpt2_kernels *best = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!can_run(all[i])) continue;
        if (forced && strcmp(forced, all[i]->name) == 0) return all[i];
        if (!best) best = all[i];
    }
    return best;
}

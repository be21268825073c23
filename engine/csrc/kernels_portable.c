/* Any 64-bit processor: vectors of four, which the compiler maps to SSE2, NEON or scalars. */
#include <string.h>

#include "kernels.h"
#include "numeric.h"

#define W 4
#define TILE 4
#define GPT2_KERNELS gpt2_kernels_portable
#define GPT2_KERNELS_NAME "portable"
#include "vectors.h"

static inline vf load_f16(const uint16_t *p) {
    return (vf){f32_from_f16(p[0]), f32_from_f16(p[1]), f32_from_f16(p[2]), f32_from_f16(p[3])};
}

/* 16 dot products of one block: dot[row] = sum of (w - 128) * a. */
static inline void dot_block(const uint8_t *w, const int8_t *a, int32_t a_sum, vi *dot) {
    int32_t sum[GROUP];
    for (int row = 0; row < GROUP; row++) sum[row] = -128 * a_sum;
    for (int k = 0; k < BLOCK; k += 4)
        for (int row = 0; row < GROUP; row++)
            for (int i = 0; i < 4; i++) sum[row] += w[k * GROUP + row * 4 + i] * a[k + i];
    memcpy(dot, sum, sizeof sum);
}

#include "kernels_impl.h"

/* x86-64 with AVX-512 VNNI: vectors of sixteen. */
#if defined(__x86_64__)
#define TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target(TARGET))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif
#include <immintrin.h>
#include <string.h>

#include "kernels.h"
#include "numeric.h"

#define W 16
#define TILE 8
#define GPT2_KERNELS gpt2_kernels_avx512
#define GPT2_KERNELS_NAME "avx512"
#include "vectors.h"

static inline __attribute__((always_inline)) vf load_f16(const uint16_t *p) {
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* 16 dot products of one block: VPDPBUSD adds four products of unsigned w + 128 and signed a to
 * each lane; the sum starts where the 128s cancel. */
static inline __attribute__((always_inline)) void dot_block(const uint8_t *w, const int8_t *a,
                                                            int32_t a_sum, vi *dot) {
    __m512i sum = _mm512_set1_epi32(-128 * a_sum);
    for (int k = 0; k < BLOCK; k += 4) {
        int32_t four;
        memcpy(&four, a + k, 4);
        __m512i wv = _mm512_loadu_si512(w + k * GROUP);
        sum = _mm512_dpbusd_epi32(sum, wv, _mm512_set1_epi32(four));
    }
    dot[0] = (vi)sum;
}

#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

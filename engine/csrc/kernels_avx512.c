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
#define GROUPS 2
#define GPT2_KERNELS gpt2_kernels_avx512
#define GPT2_KERNELS_NAME "avx512"
#include "vectors.h"

typedef int8_t activation;

static inline __attribute__((always_inline)) vf load_f16(const uint16_t *p) {
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

#define OWN_DOT_TILE
static inline __attribute__((always_inline)) void store_quants(activation *out, const int32_t *q) {
    for (int i = 0; i < BLOCK; i += W)
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm512_cvtepi32_epi8(_mm512_loadu_si512(q + i)));
}

/* VPDPBUSD adds four products of unsigned w + 128 and signed a to each lane; the sum starts where
 * the 128s cancel. */
static inline __attribute__((always_inline)) void dot_tile(int G, int T, const uint8_t *w,
                                                           int64_t stride, const activation *a,
                                                           const int32_t *a_offset,
                                                           int64_t n_blocks, vi *dot) {
    for (int i = 0; i < G * T; i++) dot[i] = (vi)_mm512_set1_epi32(a_offset[i % T * n_blocks]);
#pragma GCC unroll 8
    for (int k = 0; k < BLOCK; k += 4)
#pragma GCC unroll 4
        for (int t = 0; t < T; t++) {
            int32_t four;
            memcpy(&four, a + t * n_blocks * BLOCK + k, 4);
            __m512i av = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (int g = 0; g < G; g++)
                dot[g * T + t] = (vi)_mm512_dpbusd_epi32(
                    (__m512i)dot[g * T + t], _mm512_loadu_si512(w + g * stride + k * GROUP), av);
        }
}

#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

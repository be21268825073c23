/* x86-64 with AVX2 and F16C: vectors of eight. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,f16c")
#endif
#include <immintrin.h>
#include <string.h>

#include "kernels.h"
#include "numeric.h"

#define W 8
#define GROUPS 1
#define GPT2_KERNELS gpt2_kernels_avx2
#define GPT2_KERNELS_NAME "avx2"
#include "vectors.h"

typedef int16_t activation;

static inline __attribute__((always_inline)) vf load_f16(const uint16_t *p) {
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Not VPMADDUBSW, which saturates. */
static inline __attribute__((always_inline)) vi multiply_pairs(vi a, vi b) {
    return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}

#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

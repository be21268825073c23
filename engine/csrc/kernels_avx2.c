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
#define TILE 4
#define GPT2_KERNELS gpt2_kernels_avx2
#define GPT2_KERNELS_NAME "avx2"
#include "vectors.h"

static inline __attribute__((always_inline)) vf load_f16(const uint16_t *p) {
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* 16 dot products of one block. VPMADDUBSW multiplies unsigned by signed bytes and saturates at 16
 * bits, so it gets |w| and sign(w) a, both within 127 (128 at most): 2 * 128 * 127 < 32768. */
static inline __attribute__((always_inline)) void dot_block(const uint8_t *w, const int8_t *a,
                                                            int32_t a_sum, vi *dot) {
    const __m256i ones = _mm256_set1_epi16(1), flip = _mm256_set1_epi8((char)0x80);
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    (void)a_sum; /* only the unsigned form needs it */
    for (int k = 0; k < BLOCK; k += 4) {
        int32_t four;
        memcpy(&four, a + k, 4);
        __m256i av = _mm256_set1_epi32(four);
        for (int half = 0; half < 2; half++) {
            const void *at = w + k * GROUP + half * 32;
            __m256i wv = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)at), flip);
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(wv), _mm256_sign_epi8(av, wv));
            sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(pairs, ones));
        }
    }
    dot[0] = (vi)sum[0];
    dot[1] = (vi)sum[1];
}

#include "kernels_impl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif

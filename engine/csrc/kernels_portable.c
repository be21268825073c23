/* Any processor: vectors of four, which the compiler maps to SSE2, NEON, WebAssembly's SIMD128 or
 * scalars.
 */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#include "kernels.h"
#include "numeric.h"

#define W 4
#define GROUPS 1
#define GPT2_KERNELS gpt2_kernels_portable
#define GPT2_KERNELS_NAME "portable"
#include "vectors.h"

typedef int16_t activation;

typedef int16_t half4 __attribute__((vector_size(8)));

static inline vf load_f16(const uint16_t *p) {
    half4 h;
    memcpy(&h, p, sizeof h);
    vi bits = __builtin_convertvector(h, vi) << 13 & (int32_t)0x8fffe000u;
    return (vf)bits * 0x1p112f; /* as in f32_from_f16() */
}

static inline vi multiply_pairs(vi a, vi b) {
#if defined(__SSE2__)
    return (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__wasm_simd128__)
    return (vi)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
    return (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

#include "kernels_impl.h"

/* Scalar numbers that must come out the same on every processor: bit patterns and float16.
 * float16 is IEEE 754 binary16 without infinities: what is too large saturates at 65504. */
#ifndef GPT2_NUMERIC_H
#define GPT2_NUMERIC_H

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The largest magnitude of n numbers. Magnitudes compare as integers too, which vectorises. */
static inline __attribute__((always_inline)) float largest_magnitude(const float *x, int n) {
    int32_t most = 0;
    for (int i = 0; i < n; i++) {
        int32_t bits = (int32_t)(float_bits(x[i]) & 0x7fffffffu);
        most = bits > most ? bits : most;
    }
    return float_of_bits((uint32_t)most);
}

static inline float f32_from_f16(uint16_t h) {
    /* Scaling by 2^112 turns the exponent's bias 15 into 127, denormals included. */
    float x = float_of_bits((uint32_t)(h & 0x7fff) << 13) * 0x1p112f;
    return h & 0x8000 ? -x : x;
}

/* Rounds to nearest, ties to even. */
static inline uint16_t f16_from_f32(float f) {
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000;
    u &= 0x7fffffffu;
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7bff); /* 65520 and above, NaN */
    if (u < 0x38800000u) /* below 2^-14: adding 1/2 rounds at the denormals' last place */
        return (uint16_t)(sign | (float_bits(float_of_bits(u) + 0.5f) - 0x3f000000u));
    return (uint16_t)(sign | (u + 0xc8000fffu + (u >> 13 & 1)) >> 13);
}

#endif

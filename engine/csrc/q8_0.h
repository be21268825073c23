/* One block of GGUF's Q8_0, quantised as its reference does. */
#ifndef GPT2_Q8_0_H
#define GPT2_Q8_0_H

#include "model.h"
#include "numeric.h"

/* x: n <= BLOCK values, `stride` floats apart; those up to BLOCK count as zeros. Scale = max|x| /
 * 127 kept as float16; quant [BLOCK], rounded half away from zero. */
static inline void quantize_q8_0(const float *x, int64_t stride, int32_t n, uint16_t *scale,
                                 int8_t *quant) {
    float amax = 0;
    for (int i = 0; i < n; i++) {
        float a = x[i * stride] < 0 ? -x[i * stride] : x[i * stride];
        amax = a > amax ? a : amax;
    }
    float d = amax / 127;
    *scale = f16_from_f32(d);
    float inverse = *scale ? 1 / d : 0;
    for (int i = 0; i < BLOCK; i++) {
        float v = i < n ? x[i * stride] * inverse : 0;
        int q = (int)v;
        q += v - (float)q >= 0.5f ? 1 : v - (float)q <= -0.5f ? -1 : 0;
        quant[i] = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
    }
}

#endif

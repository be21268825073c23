/* One block of GGUF's Q8_0, quantised as its reference does. */
#ifndef GPT2_Q8_0_H
#define GPT2_Q8_0_H

#include <math.h>

#include "model.h"
#include "numeric.h"

/* x: n <= BLOCK values, `stride` floats apart; those up to BLOCK count as zeros. Scale =
 * max|x| / 127 kept as float16; quant [BLOCK], rounded half away from zero, or all zeros where a
 * value is not finite. */
static inline void quantize_q8_0(const float *x, int64_t stride, int32_t n, uint16_t *scale,
                                 int8_t *quant) {
    float in[BLOCK] = {0};
    for (int i = 0; i < n; i++) in[i] = x[i * stride];
    float amax = largest_magnitude(in, BLOCK), d = amax / 127;
    *scale = f16_from_f32(d);
    float inverse = *scale && amax < INFINITY ? 1 / d : 0;
    for (int i = 0; i < BLOCK; i++) {
        float v = in[i] * inverse; /* at most 127 and a rounding error */
        v = v == v ? v : 0;
        int32_t q = (int32_t)v;
        float rest = v - (float)q;
        quant[i] = (int8_t)(q + (rest >= 0.5f) - (rest <= -0.5f));
    }
}

#endif

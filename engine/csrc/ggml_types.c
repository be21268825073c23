/* GGUF's tensor types (block_* in ggml/src/ggml-common.h), to float32 and back. */
#include "gpt2.h"
#include "numeric.h"
#include "q8_0.h"

enum { Q4_0_BYTES = 2 + BLOCK / 2, Q8_0_BYTES = 2 + BLOCK, Q6_K_BLOCK = 256, Q6_K_BYTES = 210 };

static float f16_at(const uint8_t *p) {
    uint32_t h = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if ((h & 0x7c00) == 0x7c00) /* infinity or NaN, which a stranger's file may hold */
        return float_of_bits((h & 0x8000) << 16 | 0x7f800000u | (h & 0x3ff) << 13);
    return f32_from_f16((uint16_t)h);
}

/* Low nibbles are the first half of the block, high nibbles the second. */
static void q4_0_to_f32(const uint8_t *in, float *out) {
    float d = f16_at(in);
    for (int i = 0; i < BLOCK / 2; i++) {
        out[i] = (float)((in[2 + i] & 15) - 8) * d;
        out[i + BLOCK / 2] = (float)((in[2 + i] >> 4) - 8) * d;
    }
}

static void q8_0_to_f32(const uint8_t *in, float *out) {
    float d = f16_at(in);
    for (int i = 0; i < BLOCK; i++) out[i] = (float)(int8_t)in[2 + i] * d;
}

/* Two halves of 128: 4 low bits of each quant [64], 2 high bits [32], a scale for each 16 [8]; the
 * three parts stand one after the other for both halves, then the block's float16 scale. */
static void q6_k_to_f32(const uint8_t *in, float *out) {
    float d = f16_at(in + 208);
    for (int i = 0; i < Q6_K_BLOCK; i++) {
        int half = i / 128, row = i % 128 / 32, column = i % 32;
        int low = in[half * 64 + row % 2 * 32 + column] >> row / 2 * 4 & 15;
        int high = in[128 + half * 32 + column] >> row * 2 & 3;
        int scale = (int8_t)in[192 + i / 16];
        out[i] = d * (float)scale * (float)((low | high << 4) - 32);
    }
}

int32_t gpt2_ggml_to_f32(int32_t type, const uint8_t *in, int64_t n, float *out) {
    switch (type) {
        case GGML_F32:
            memcpy(out, in, (size_t)n * 4);
            return GPT2_OK;
        case GGML_F16:
            for (int64_t i = 0; i < n; i++) out[i] = f16_at(in + 2 * i);
            return GPT2_OK;
        case GGML_BF16:
            for (int64_t i = 0; i < n; i++)
                out[i] = float_of_bits((uint32_t)in[2 * i] << 16 | (uint32_t)in[2 * i + 1] << 24);
            return GPT2_OK;
        case GGML_Q4_0:
            for (int64_t b = 0; b < n / BLOCK; b++)
                q4_0_to_f32(in + b * Q4_0_BYTES, out + b * BLOCK);
            return GPT2_OK;
        case GGML_Q8_0:
            for (int64_t b = 0; b < n / BLOCK; b++)
                q8_0_to_f32(in + b * Q8_0_BYTES, out + b * BLOCK);
            return GPT2_OK;
        case GGML_Q6_K:
            for (int64_t b = 0; b < n / Q6_K_BLOCK; b++)
                q6_k_to_f32(in + b * Q6_K_BYTES, out + b * Q6_K_BLOCK);
            return GPT2_OK;
        default:
            return GPT2_EFORMAT;
    }
}

int32_t gpt2_ggml_from_f32(int32_t type, const float *in, int64_t n, uint8_t *out) {
    switch (type) {
        case GGML_F32:
            memcpy(out, in, (size_t)n * 4);
            return GPT2_OK;
        case GGML_F16:
            for (int64_t i = 0; i < n; i++) {
                uint16_t h = f16_from_f32(in[i]);
                memcpy(out + 2 * i, &h, sizeof h);
            }
            return GPT2_OK;
        case GGML_Q8_0:
            for (int64_t b = 0; b < n / BLOCK; b++) {
                uint16_t scale;
                quantize_q8_0(in + b * BLOCK, 1, BLOCK, &scale, (int8_t *)out + b * Q8_0_BYTES + 2);
                memcpy(out + b * Q8_0_BYTES, &scale, sizeof scale);
            }
            return GPT2_OK;
        default:
            return GPT2_EFORMAT;
    }
}

void gpt2_transpose(const float *in, int32_t rows, int32_t columns, float *out) {
    enum { TILE = 32 }; /* a cache line of each row is used whole */
    for (int32_t r0 = 0; r0 < rows; r0 += TILE)
        for (int32_t c0 = 0; c0 < columns; c0 += TILE)
            for (int32_t r = r0; r < rows && r < r0 + TILE; r++)
                for (int32_t c = c0; c < columns && c < c0 + TILE; c++)
                    out[(int64_t)c * rows + r] = in[(int64_t)r * columns + c];
}

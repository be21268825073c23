/* The kernels, written once over vectors of W floats and included by kernels_*.c.
 *
 * Why every instruction set gives the same bits: lanes are independent outputs wherever possible;
 * sums across lanes go through 16 partial sums and one fixed tree whatever W is; integer sums are
 * exact; IEEE additions, multiplications, divisions and square roots are correctly rounded, and the
 * build forbids contraction into FMA (-ffp-contract=off). exp is our own.
 *
 * The including file defines W, GPT2_KERNELS_NAME, load_f16() and dot_block().
 */
#include <math.h>

#define VECTORS (GROUP / W) /* vectors that make up 16 lanes */
#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vi splat_int(int32_t x) { return x - (vi){0}; }
INLINE vf load(const float *p) { return *(const vf_unaligned *)p; }
INLINE void store(float *p, vf x) { *(vf_unaligned *)p = x; }
INLINE vf choose(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
INLINE vf smaller(vf a, vf b) { return choose(a < b, a, b); } /* b where a is NaN */
INLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }

/* The sum of 16 lanes, as a tree of halves. */
INLINE float sum_lanes(const vf *parts) {
    float lane[GROUP];
    for (int i = 0; i < VECTORS; i++) store(lane + i * W, parts[i]);
    for (int half = GROUP / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* exp(x), x clamped to [-86, 88]: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]
 * (coefficients of Cephes' expf; about 1 ulp). */
INLINE vf vexp(vf x) {
    const vf magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = larger(smaller(x, splat(88.0f)), splat(-86.0f));
    vf shifted = x * splat(1.44269504f) + magic;
    vf n = shifted - magic;
    vf r = x - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * (r * r) + r + splat(1.0f);
    vi exponent = ((vi)shifted - (vi)magic) << 23;
    return (vf)((vi)p + exponent);
}

/* GELU in GPT-2's tanh form (Hendrycks and Gimpel, 2016), with tanh written out:
 * x / 2 (1 + tanh u) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
INLINE vf vgelu(vf x) {
    vf u = splat(0.7978845608f) * (x + splat(0.044715f) * (x * x * x));
    return x / (splat(1.0f) + vexp(splat(-2.0f) * u));
}

/* ---- Matrix product ----------------------------------------------------------------------- */

/* Finishes 16 outputs of one row: z += bias, then the epilogue into y. */
INLINE void finish(vf *z, const float *bias, int32_t lanes, gpt2_epilogue then, float *y) {
    float result[GROUP], b[GROUP] = {0}, old[GROUP] = {0};
    if (bias) memcpy(b, bias, (size_t)lanes * 4);
    if (then == ADD) memcpy(old, y, (size_t)lanes * 4);
    for (int v = 0; v < VECTORS; v++) {
        vf out = z[v] + load(b + v * W);
        if (then == GELU) out = vgelu(out);
        if (then == ADD) out = load(old + v * W) + out;
        store(result + v * W, out);
    }
    memcpy(y, result, (size_t)lanes * 4);
}

/* One group of output rows times T rows of activations. T is a constant at every call: the sums
 * must live in registers. */
INLINE void tile_f32(int T, const gpt2_matrix *w, const float *group, const float *x, vf *z) {
    for (int32_t k = 0; k < w->n_in; k++)
        for (int t = 0; t < T; t++)
            for (int v = 0; v < VECTORS; v++)
                z[t * VECTORS + v] +=
                    splat(x[(int64_t)t * w->n_in + k]) * load(group + (int64_t)k * GROUP + v * W);
}

INLINE void tile_q8(int T, const gpt2_matrix *w, const uint8_t *group, const gpt2_rows_q8 *x,
                    int32_t row, vf *z) {
    const int32_t n_blocks = w->n_blocks;
    const uint16_t *scales = (const uint16_t *)(const void *)group;
    const uint8_t *quants = group + (w->group_stride - (int64_t)n_blocks * GROUP * BLOCK);
    const int8_t *a = x->quant + (int64_t)row * n_blocks * BLOCK;
    const float *a_scale = x->scale + (int64_t)row * n_blocks;
    const int32_t *a_sum = x->sum + (int64_t)row * n_blocks;
    for (int32_t b = 0; b < n_blocks; b++) {
        vf w_scale[VECTORS];
        for (int v = 0; v < VECTORS; v++) w_scale[v] = load_f16(scales + b * GROUP + v * W);
#pragma GCC unroll 8
        for (int t = 0; t < T; t++) {
            int64_t at = (int64_t)t * n_blocks + b;
            vi dot[VECTORS];
            dot_block(quants + b * GROUP * BLOCK, a + at * BLOCK, a_sum[at], dot);
            for (int v = 0; v < VECTORS; v++)
                z[t * VECTORS + v] +=
                    __builtin_convertvector(dot[v], vf) * (w_scale[v] * splat(a_scale[at]));
        }
    }
}

/* Tile of T rows starting at `row`; `q8` and T are constants at every call. */
INLINE void tile(int T, int q8, const gpt2_matrix *w, const float *bias, const float *x,
                 const gpt2_rows_q8 *xq, int32_t row, int32_t g, gpt2_epilogue then, float *y,
                 int64_t ld_y) {
    vf z[8 * VECTORS];
    for (int i = 0; i < T * VECTORS; i++) z[i] = (vf){0};
    const uint8_t *group = w->data + g * w->group_stride;
    if (q8)
        tile_q8(T, w, group, xq, row, z);
    else
        tile_f32(T, w, (const float *)(const void *)group, x + (int64_t)row * w->n_in, z);
    int32_t lanes = w->n_out - g * GROUP < GROUP ? w->n_out - g * GROUP : GROUP;
    for (int t = 0; t < T; t++)
        finish(z + t * VECTORS, bias ? bias + g * GROUP : NULL, lanes, then,
               y + (row + t) * ld_y + g * GROUP);
}

static void matmul(const gpt2_model *m, const gpt2_matrix *w, const float *bias, const float *x,
                   const gpt2_rows_q8 *xq, int32_t n, int32_t g0, int32_t g1, gpt2_epilogue then,
                   float *y, int64_t ld_y) {
    for (int32_t g = g0; g < g1; g++) {
        int32_t row = 0;
        if (m->type == GPT2_Q8_0) {
            for (; row + TILE <= n; row += TILE)
                tile(TILE, 1, w, bias, x, xq, row, g, then, y, ld_y);
            for (; row < n; row++) tile(1, 1, w, bias, x, xq, row, g, then, y, ld_y);
        } else {
            for (; row + 4 <= n; row += 4) tile(4, 0, w, bias, x, xq, row, g, then, y, ld_y);
            for (; row < n; row++) tile(1, 0, w, bias, x, xq, row, g, then, y, ld_y);
        }
    }
}

static void quantize(const float *x, int32_t n_in, int32_t row, const gpt2_rows_q8 *xq) {
    int32_t n_blocks = (n_in + BLOCK - 1) / BLOCK;
    for (int32_t b = 0; b < n_blocks; b++) {
        float in[BLOCK] = {0};
        int32_t n = n_in - b * BLOCK < BLOCK ? n_in - b * BLOCK : BLOCK;
        memcpy(in, x + b * BLOCK, (size_t)n * 4);
        /* Magnitudes compare as integers, which needs no care for NaN and vectorises. */
        int32_t amax_bits = 0;
        for (int i = 0; i < BLOCK; i++) {
            int32_t bits = (int32_t)(float_bits(in[i]) & 0x7fffffffu);
            amax_bits = bits > amax_bits ? bits : amax_bits;
        }
        float amax = float_of_bits((uint32_t)amax_bits);
        float inverse = amax_bits > 0 ? 127.0f / amax : 0.0f;
        int8_t *out = xq->quant + ((int64_t)row * n_blocks + b) * BLOCK;
        int32_t sum = 0;
        for (int i = 0; i < BLOCK; i += W) {
            vf v = larger(smaller(load(in + i) * splat(inverse), splat(127.0f)), splat(-127.0f));
            vi q = (vi)(v + splat(12582912.0f)) - splat_int(0x4b400000);
            for (int j = 0; j < W; j++) {
                out[i + j] = (int8_t)q[j];
                sum += q[j];
            }
        }
        xq->scale[(int64_t)row * n_blocks + b] = amax / 127.0f;
        xq->sum[(int64_t)row * n_blocks + b] = sum;
    }
}

/* ---- Normalisation, attention, exp -------------------------------------------------------- */

static void layer_norm(const float *x, const float *gain, const float *bias, int32_t n, float *y) {
    float tail[GROUP] = {0};
    int32_t whole = n / GROUP * GROUP;
    memcpy(tail, x + whole, (size_t)(n - whole) * 4);
    vf sum[VECTORS];
    for (int v = 0; v < VECTORS; v++) sum[v] = load(tail + v * W);
    for (int32_t i = 0; i < whole; i += GROUP)
        for (int v = 0; v < VECTORS; v++) sum[v] += load(x + i + v * W);
    float mean = sum_lanes(sum) / (float)n;

    for (int i = 0; i < n - whole; i++) tail[i] = (tail[i] - mean) * (tail[i] - mean);
    for (int v = 0; v < VECTORS; v++) sum[v] = load(tail + v * W);
    for (int32_t i = 0; i < whole; i += GROUP)
        for (int v = 0; v < VECTORS; v++) {
            vf d = load(x + i + v * W) - splat(mean);
            sum[v] += d * d;
        }
    float inverse = 1.0f / sqrtf(sum_lanes(sum) / (float)n + 1e-5f);
    for (int32_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * gain[i] + bias[i];
}

/* float16 bits of W floats, as f16_from_f32() rounds. */
INLINE vi to_f16(vf x) {
    vi bits = (vi)x & 0x7fffffff, sign = (vi)((vu)(vi)x >> 16) & 0x8000;
    vi normal = (bits + (int32_t)0xc8000fffu + (bits >> 13 & 1)) >> 13 & 0x7fff;
    vi small = (vi)((vf)bits + splat(0.5f)) - 0x3f000000;
    vi large = bits >= 0x477ff000, tiny = bits < 0x38800000;
    return sign | (large & 0x7bff) | (tiny & small) | (~(large | tiny) & normal);
}

static void cache_store(const gpt2_model *m, const float *k, const float *v, int32_t position,
                        int32_t head_size, void *keys, void *values) {
    int64_t key_at = (int64_t)(position / GROUP) * head_size * GROUP + position % GROUP;
    int32_t head_pad = (head_size + GROUP - 1) / GROUP * GROUP;
    int64_t value_at = (int64_t)position * head_pad;
    for (int32_t d = 0; d < head_pad; d += W) {
        int32_t n = head_size - d < W ? (head_size > d ? head_size - d : 0) : W;
        float kd[W] = {0}, vd[W] = {0};
        memcpy(kd, k + d, (size_t)n * 4);
        memcpy(vd, v + d, (size_t)n * 4);
        if (m->type == GPT2_F32) {
            for (int i = 0; i < n; i++) ((float *)keys)[key_at + (int64_t)(d + i) * GROUP] = kd[i];
            memcpy((float *)values + value_at + d, vd, sizeof vd);
        } else {
            vi kh = to_f16(load(kd)), vh = to_f16(load(vd));
            for (int i = 0; i < n; i++)
                ((uint16_t *)keys)[key_at + (int64_t)(d + i) * GROUP] = (uint16_t)kh[i];
            for (int i = 0; i < W; i++) ((uint16_t *)values)[value_at + d + i] = (uint16_t)vh[i];
        }
    }
}

INLINE vf load_cache(int q8, const void *p, int64_t at) {
    return q8 ? load_f16((const uint16_t *)p + at) : load((const float *)p + at);
}

/* Scores of N * 16 positions: a plain dot product each, in order of the elements. */
INLINE void score_tiles(int N, int q8, const float *q, const void *keys, int64_t at,
                        int32_t head_size, float scale, float *scores) {
    vf sum[4 * VECTORS];
    for (int i = 0; i < N * VECTORS; i++) sum[i] = (vf){0};
    for (int32_t d = 0; d < head_size; d++)
        for (int i = 0; i < N; i++)
            for (int v = 0; v < VECTORS; v++)
                sum[i * VECTORS + v] +=
                    splat(q[d]) *
                    load_cache(q8, keys, at + ((int64_t)i * head_size + d) * GROUP + v * W);
    for (int i = 0; i < N * VECTORS; i++) store(scores + i * W, sum[i] * splat(scale));
}

/* out [N * W] of the values from column d on, weighted, in order of the positions. */
INLINE void mix_values(int N, int q8, const float *weights, const void *values, int32_t n,
                       int32_t head_pad, int32_t d, float inverse, float *out) {
    vf sum[4];
    for (int i = 0; i < N; i++) sum[i] = (vf){0};
    for (int32_t t = 0; t < n; t++)
        for (int i = 0; i < N; i++)
            sum[i] += splat(weights[t]) * load_cache(q8, values, (int64_t)t * head_pad + d + i * W);
    for (int i = 0; i < N; i++) store(out + i * W, sum[i] * splat(inverse));
}

INLINE void attend_typed(int q8, const float *q, const void *keys, const void *values, int32_t n,
                         int32_t head_size, float *scores, float *out) {
    float scale = 1.0f / sqrtf((float)head_size);
    int32_t tiles = (n + GROUP - 1) / GROUP, i = 0;
    for (; i + 4 <= tiles; i += 4)
        score_tiles(4, q8, q, keys, (int64_t)i * head_size * GROUP, head_size, scale,
                    scores + i * GROUP);
    for (; i < tiles; i++)
        score_tiles(1, q8, q, keys, (int64_t)i * head_size * GROUP, head_size, scale,
                    scores + i * GROUP);

    float max = scores[0];
    for (int32_t t = 1; t < n; t++) max = scores[t] > max ? scores[t] : max;
    vf sum[VECTORS];
    for (int v = 0; v < VECTORS; v++) sum[v] = (vf){0};
    for (int32_t t = 0; t < tiles * GROUP; t += GROUP) {
        for (int v = 0; v < VECTORS; v++)
            store(scores + t + v * W, vexp(load(scores + t + v * W) - splat(max)));
        for (int32_t j = n - t; j < GROUP; j++) scores[t + j] = 0; /* beyond the last position */
        for (int v = 0; v < VECTORS; v++) sum[v] += load(scores + t + v * W);
    }
    float inverse = 1.0f / sum_lanes(sum);

    int32_t head_pad = (head_size + GROUP - 1) / GROUP * GROUP, d = 0;
    for (; d + 4 * W <= head_size; d += 4 * W)
        mix_values(4, q8, scores, values, n, head_pad, d, inverse, out + d);
    for (; d < head_size; d += W) {
        float last[W];
        mix_values(1, q8, scores, values, n, head_pad, d, inverse, last);
        memcpy(out + d, last, (size_t)(head_size - d < W ? head_size - d : W) * 4);
    }
}

static void attend(const gpt2_model *m, const float *q, const void *keys, const void *values,
                   int32_t n, int32_t head_size, float *scores, float *out) {
    if (m->type == GPT2_Q8_0)
        attend_typed(1, q, keys, values, n, head_size, scores, out);
    else
        attend_typed(0, q, keys, values, n, head_size, scores, out);
}

static void exp_shifted(const float *x, int64_t n, float shift, float *y) {
    int64_t i = 0;
    for (; i + W <= n; i += W) store(y + i, vexp(load(x + i) - splat(shift)));
    float last[W] = {0};
    memcpy(last, x + i, (size_t)(n - i) * 4);
    store(last, vexp(load(last) - splat(shift)));
    memcpy(y + i, last, (size_t)(n - i) * 4);
}

const gpt2_kernels GPT2_KERNELS = {
    .name = GPT2_KERNELS_NAME,
    .matmul = matmul,
    .quantize = quantize,
    .layer_norm = layer_norm,
    .cache_store = cache_store,
    .attend = attend,
    .exp_shifted = exp_shifted,
};

/* The kernels, written once over vectors of W floats and included by kernels_*.c.
 *
 * Why every instruction set gives the same bits: lanes are independent outputs wherever possible;
 * sums across lanes go through 16 partial sums and one fixed tree whatever W is; integer sums are
 * exact; IEEE additions, multiplications, divisions and square roots are correctly rounded, and the
 * build forbids contraction into FMA (-ffp-contract=off). exp is our own.
 *
 * The including file defines W, GROUPS (how many groups of weights a tile spans), GPT2_KERNELS,
 * GPT2_KERNELS_NAME, the type `activation` of quants, and
 *   load_f16(p)           W floats from float16,
 *   multiply_pairs(a, b)  in each lane, the sum of two products of 16-bit numbers; or OWN_DOT_TILE,
 *                         dot_tile() and store_quants().
 */
#include <math.h>

#define VECTORS (GROUP / W) /* vectors that make up 16 lanes */
enum {
    MAX_TILE = 8,            /* groups times rows */
    CACHED_BYTES = 16 << 20, /* of a model that needs not be fetched from memory again and again */
};
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

/* Finishes `lanes` outputs of one row: z += bias, then the epilogue into y. */
INLINE void finish(const vf *z, const float *bias, int32_t lanes, gpt2_epilogue then, float *y) {
    float b[GROUP] = {0}, out[GROUP] = {0};
    float *to = lanes == GROUP ? y : out; /* the last group may be narrower than the vectors */
    if (lanes < GROUP) {
        if (bias) memcpy(b, bias, (size_t)lanes * 4);
        if (then == ADD) memcpy(out, y, (size_t)lanes * 4);
        bias = b;
    }
    for (int v = 0; v < VECTORS; v++) {
        vf sum = bias ? z[v] + load(bias + v * W) : z[v];
        if (then == GELU) sum = vgelu(sum);
        if (then == ADD) sum = load(to + v * W) + sum;
        store(to + v * W, sum);
    }
    if (lanes < GROUP) memcpy(y, out, (size_t)lanes * 4);
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

/* G vectors of weight rows, `stride` bytes apart, times T rows of activations: the dot products of
 * one block. w: [8][16][4] bytes from the first of those rows on; dot [G][T]. */
INLINE void dot_tile(int G, int T, const uint8_t *w, int64_t stride, const activation *a,
                     const int32_t *a_offset, int64_t n_blocks, vi *dot);

#ifndef OWN_DOT_TILE
/* In 16-bit pairs: first the even bytes of each lane, then the odd ones. */
INLINE void dot_tile(int G, int T, const uint8_t *w, int64_t stride, const activation *a,
                     const int32_t *a_offset, int64_t n_blocks, vi *dot) {
    UNROLL
    for (int i = 0; i < G * T; i++) dot[i] = splat_int(a_offset[i % T * n_blocks]);
#pragma GCC unroll 2
    for (int k = 0; k < BLOCK; k += 4) {
        UNROLL
        for (int g = 0; g < G; g++) {
            vi bytes = *(const vi_unaligned *)(const void *)(w + g * stride + k * GROUP);
            vi even = bytes & 0x00ff00ff, odd = (vi)((vs)bytes >> 8);
            UNROLL
            for (int t = 0; t < T; t++) {
                int32_t a02, a13;
                memcpy(&a02, a + t * n_blocks * BLOCK + k, 4);
                memcpy(&a13, a + t * n_blocks * BLOCK + k + 2, 4);
                dot[g * T + t] += multiply_pairs(even, splat_int(a02));
                dot[g * T + t] += multiply_pairs(odd, splat_int(a13));
            }
        }
    }
}

/* In the order in which dot_tile() meets them: of each four, 0 2 1 3. */
INLINE void store_quants(activation *out, const int32_t *q) {
    for (int i = 0; i < BLOCK; i += 4) {
        uint32_t pairs[2] = {((uint32_t)q[i] & 0xffff) | (uint32_t)q[i + 2] << 16,
                             ((uint32_t)q[i + 1] & 0xffff) | (uint32_t)q[i + 3] << 16};
        memcpy(out + i, pairs, sizeof pairs);
    }
}
#endif

/* What is needed next: a little is fetched with each block, so that memory streams while the tiles
 * compute. */
typedef struct {
    const uint8_t *at, *end;
    int lines; /* of 64 bytes, with each block */
} upcoming;

INLINE void fetch(upcoming *next) {
#if defined(__wasm__) /* has no such instruction */
    (void)next;
#else
    for (int i = 0; i < next->lines && next->at < next->end; i++, next->at += 64)
        __builtin_prefetch(next->at, 0, 2);
#endif
}

/* G groups times T rows. Where a group has many vectors, V of them are taken at once: few rows
 * leave registers for it, and each activation is loaded once for them all, each weight in the order
 * in which it lies. */
INLINE void tile_q8(int G, int T, int scaled, const gpt2_matrix *w, const uint8_t *groups,
                    upcoming *next, const gpt2_rows_q8 *x, int32_t row, vf *z) {
    const int32_t n_blocks = w->n_blocks;
    const int64_t stride = w->group_stride, block_stride = w->block_stride;
    const uint8_t *quants = groups + w->quants;
    const uint16_t *scales = (const uint16_t *)(const void *)groups;
    const activation *a = (const activation *)x->quant + (int64_t)row * n_blocks * BLOCK;
    const float *a_scale = x->scale + (int64_t)row * n_blocks;
    const int32_t *a_offset = x->offset + (int64_t)row * n_blocks;
    const int V = G > 1 ? 1 : VECTORS * T <= 4 ? VECTORS : T <= 2 ? 2 : 1, columns = G * V;
    const int64_t column = V > 1 ? W * 4 : stride; /* bytes between columns */
    const int64_t scale_column = V > 1 ? W : stride / 2;
    for (int v = 0; v < VECTORS; v += V) {
        vf sum[MAX_TILE]; /* a variable size would keep it out of the registers */
        UNROLL
        for (int i = 0; i < columns * T; i++) sum[i] = (vf){0};
        for (int32_t b = 0; b < n_blocks; b++) {
            const uint8_t *block = quants + b * block_stride;
            vi dot[MAX_TILE];
            dot_tile(columns, T, block + v * W * 4, column, a + b * BLOCK, a_offset + b, n_blocks,
                     dot);
            fetch(next);
            UNROLL
            for (int c = 0; c < columns; c++) {
                vf w_scale =
                    scaled ? load_f16(scales + c * scale_column + b * GROUP + v * W) : splat(1);
                UNROLL
                for (int t = 0; t < T; t++)
                    sum[c * T + t] += __builtin_convertvector(dot[c * T + t], vf) *
                                      (w_scale * splat(a_scale[(int64_t)t * n_blocks + b]));
            }
        }
        UNROLL
        for (int i = 0; i < columns * T; i++)
            z[(i / T / V * T + i % T) * VECTORS + v + i / T % V] = sum[i];
    }
}

/* A matrix product's operands: z = W x + bias for rows x, then the epilogue into y. */
typedef struct {
    const gpt2_matrix *w;
    const float *bias;      /* [n_out], or NULL */
    const float *x;         /* [n][n_in], read for GPT2_F32 */
    const gpt2_rows_q8 *xq; /* n rows from first_row on, read for GPT2_Q8_0 */
    int32_t first_row;
    gpt2_epilogue then;
    float *y; /* [n][ld_y] */
    int64_t ld_y;
    /* Bytes that are fetched while a tile's groups are multiplied, and where they lie from there.
     */
    int64_t ahead, ahead_bytes;
} product;

typedef enum { F32, Q8_0, Q8_0_UNSCALED } kind;

INLINE const uint8_t *group_at(const gpt2_matrix *w, int32_t g) {
    return w->data + g / 2 * w->pair_stride + g % 2 * w->group_stride;
}

/* G groups from g on times T rows from `row` on; G, T and the kind are constants at every call. */
INLINE void tile(int G, int T, kind k, const product *p, upcoming *next, int32_t g, int32_t row) {
    const gpt2_matrix *w = p->w;
    vf z[MAX_TILE * VECTORS];
    for (int i = 0; i < G * T * VECTORS; i++) z[i] = (vf){0};
    const uint8_t *groups = group_at(w, g);
    if (k != F32)
        tile_q8(G, T, k == Q8_0, w, groups, next, p->xq, p->first_row + row, z);
    else
        tile_f32(T, w, (const float *)(const void *)groups, p->x + (int64_t)row * w->n_in, z);
    for (int i = 0; i < G; i++) {
        int32_t lanes = w->n_out - (g + i) * GROUP < GROUP ? w->n_out - (g + i) * GROUP : GROUP;
        for (int t = 0; t < T; t++)
            finish(z + (i * T + t) * VECTORS, p->bias ? p->bias + (g + i) * GROUP : NULL, lanes,
                   p->then, p->y + (row + t) * p->ld_y + (g + i) * GROUP);
    }
}

/* All n rows, in tiles as large as they come. */
INLINE void tiles(int G, kind k, const product *p, int32_t g, int32_t n) {
    const gpt2_matrix *w = p->w;
    const uint8_t *at = group_at(w, g) + p->ahead;
    const int64_t steps = (int64_t)(n + 3) / 4 * w->n_blocks;
    upcoming next = {at, at + p->ahead_bytes, (int)((p->ahead_bytes / 64 + steps - 1) / steps)};
    int32_t row = 0;
    for (; row + 4 <= n; row += 4) tile(G, 4, k, p, &next, g, row);
    switch (n - row) {
        case 3:
            tile(G, 3, k, p, &next, g, row);
            break;
        case 2:
            tile(G, 2, k, p, &next, g, row);
            break;
        case 1:
            tile(G, 1, k, p, &next, g, row);
            break;
    }
}

/* Groups [g0, g1) times n rows. */
INLINE void multiply(kind k, const product *p, int32_t n, int32_t g0, int32_t g1) {
    const int G = k == F32 ? 1 : GROUPS;
    int32_t g = g0;
    for (; g + G <= g1; g += G) tiles(G, k, p, g, n);
    if (G > 1)
        for (; g < g1; g++) tiles(1, k, p, g, n);
}

static void matmul(const gpt2_model *m, const gpt2_matrix *w, const float *bias, const float *x,
                   const gpt2_rows_q8 *xq, int32_t row, int32_t n, int32_t g0, int32_t g1,
                   gpt2_epilogue then, float *y, int64_t ld_y) {
    /* The next groups are fetched, unless the model stays in the processor's cache. Past the
     * matrix's end that is of no use but no harm. */
    const int64_t ahead = GROUPS * w->group_stride;
    const product p = {.w = w,
                       .bias = bias,
                       .x = x,
                       .xq = xq,
                       .first_row = row,
                       .then = then,
                       .y = y,
                       .ld_y = ld_y,
                       .ahead = ahead,
                       .ahead_bytes = m->size > CACHED_BYTES ? ahead : 0};
    if (m->type == GPT2_F32)
        multiply(F32, &p, n, g0, g1);
    else
        multiply(Q8_0, &p, n, g0, g1);
}

/* 127 / largest; 0, and so zeros, where that is zero, too small to be told from it, or not finite.
 */
INLINE float inverse_scale(float largest) {
    float inverse = 127.0f / largest;
    return inverse < INFINITY ? inverse : 0.0f;
}

/* x / scale, rounded, where inverse = 1 / scale; within 127 of zero whatever x is. */
INLINE vi quants_of(vf x, float inverse) {
    x = larger(smaller(x * splat(inverse), splat(127.0f)), splat(-127.0f));
    return (vi)(x + splat(12582912.0f)) - 0x4b400000;
}

static void quantize(const float *x, int32_t n_in, int32_t row, const gpt2_rows_q8 *xq) {
    int32_t n_blocks = (n_in + BLOCK - 1) / BLOCK;
    for (int32_t b = 0; b < n_blocks; b++) {
        int64_t at = (int64_t)row * n_blocks + b;
        const float *in = x + b * BLOCK;
        float last[BLOCK] = {0};
        if (n_in - b * BLOCK < BLOCK) {
            memcpy(last, in, (size_t)(n_in - b * BLOCK) * 4);
            in = last;
        }
        float amax = largest_magnitude(in, BLOCK), inverse = inverse_scale(amax);
        int32_t q[BLOCK], total = 0;
        for (int i = 0; i < BLOCK; i += W)
            *(vi_unaligned *)(q + i) = quants_of(load(in + i), inverse);
        store_quants((activation *)xq->quant + at * BLOCK, q);
        for (int i = 0; i < BLOCK; i++) total += q[i];
        xq->scale[at] = amax / 127.0f;
        xq->offset[at] = -128 * total;
    }
}

/* ---- Normalisation ------------------------------------------------------------------------ */

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

/* ---- The cache ---------------------------------------------------------------------------- */

INLINE uint8_t *page_of(const gpt2_head_cache *c, int32_t position) {
    return c->data + position / BLOCK * c->page_stride;
}

INLINE uint8_t *key_group(const gpt2_head_cache *c, int32_t position) {
    return page_of(c, position) + position % BLOCK / GROUP * c->keys.group_stride;
}

/* A key becomes row `position` of a matrix. */
static void store_key_q8(const float *k, int32_t position, const gpt2_head_cache *c) {
    uint8_t *group = key_group(c, position);
    int32_t lane = position % GROUP;
    for (int32_t b = 0; b < c->keys.n_blocks; b++) {
        float in[BLOCK] = {0};
        int32_t rest = c->head_size - b * BLOCK, q[BLOCK];
        memcpy(in, k + b * BLOCK, (size_t)(rest < BLOCK ? rest : BLOCK) * 4);
        float amax = largest_magnitude(in, BLOCK);
        /* The weights of a model are finite, but huge ones overflow on the way through it. */
        uint16_t scale = amax < INFINITY ? f16_from_f32(amax / 127.0f) : 0;
        for (int i = 0; i < BLOCK; i += W)
            *(vi_unaligned *)(q + i) = quants_of(load(in + i), scale ? 127.0f / amax : 0.0f) + 128;
        ((uint16_t *)(void *)group)[b * GROUP + lane] = scale;
        uint8_t bytes[BLOCK];
        for (int i = 0; i < BLOCK; i++) bytes[i] = (uint8_t)q[i];
        for (int i = 0; i < BLOCK; i += 4)
            memcpy(group + c->keys.quants + (b * BLOCK + i) * GROUP + lane * 4, bytes + i, 4);
    }
}

/* A value becomes column `position` of another. Byte by byte: to read what stands beside them would
 * mean to wait for memory. */
static void store_value_q8(const float *v, int32_t position, const gpt2_head_cache *c) {
    const float amax = largest_magnitude(v, c->head_size), inverse = inverse_scale(amax);
    uint8_t *page = page_of(c, position);
    uint8_t *column = page + c->values_at + position % BLOCK / 4 * GROUP * 4 + position % 4;
    for (int32_t g = 0; g < c->values.n_groups; g++, column += c->values.group_stride) {
        float part[GROUP] = {0};
        int32_t q[GROUP], rest = c->head_size - g * GROUP;
        memcpy(part, v + g * GROUP, (size_t)(rest < GROUP ? rest : GROUP) * 4);
        for (int i = 0; i < GROUP; i += W)
            *(vi_unaligned *)(q + i) = quants_of(load(part + i), inverse) + 128;
        for (int i = 0; i < GROUP; i++) column[i * 4] = (uint8_t)q[i];
    }
    ((float *)(void *)(page + c->scales_at))[position % BLOCK] = amax / 127.0f;
}

static void cache_store(const gpt2_model *m, const float *k, const float *v, int32_t position,
                        const gpt2_head_cache *c) {
    if (m->type == GPT2_Q8_0) {
        store_key_q8(k, position, c);
        store_value_q8(v, position, c);
        return;
    }
    int32_t n = c->head_size;
    float *keys = (float *)(void *)key_group(c, position);
    float *values = (float *)(void *)(page_of(c, position) + c->values_at);
    for (int32_t d = 0; d < n; d++) keys[d * GROUP + position % GROUP] = k[d];
    memcpy(values + position % BLOCK * n, v, (size_t)n * 4);
}

/* ---- Attention ---------------------------------------------------------------------------- */

/* Turns n scores into exp(scale (score - largest)), and those from n to `padded`, a multiple of 16,
 * into zeros. Returns one over the sum. */
static float softmax(float *scores, int32_t n, int32_t padded, float scale) {
    vf most = splat(-INFINITY), sum[VECTORS];
    for (int32_t p = n; p < padded; p++) scores[p] = -INFINITY;
    for (int32_t p = 0; p < padded; p += W) {
        vf x = load(scores + p) * splat(scale);
        most = larger(x, most);
        store(scores + p, x);
    }
    float lane[W], max;
    store(lane, most);
    max = lane[0];
    for (int i = 1; i < W; i++) max = lane[i] > max ? lane[i] : max;
    for (int v = 0; v < VECTORS; v++) sum[v] = (vf){0};
    for (int32_t p = 0; p < padded; p += GROUP) {
        for (int v = 0; v < VECTORS; v++)
            store(scores + p + v * W, vexp(load(scores + p + v * W) - splat(max)));
        for (int32_t j = n > p ? n - p : 0; j < GROUP; j++) scores[p + j] = 0;
        for (int v = 0; v < VECTORS; v++) sum[v] += load(scores + p + v * W);
    }
    return 1.0f / sum_lanes(sum);
}

static void attend_f32(const float *q, const gpt2_head_cache *c, int32_t n, float *scores,
                       float *out) {
    int32_t size = c->head_size, padded = (n + GROUP - 1) / GROUP * GROUP;
    for (int32_t p = 0; p < padded; p += GROUP) {
        const float *keys = (const float *)(const void *)key_group(c, p);
        vf sum[VECTORS];
        for (int v = 0; v < VECTORS; v++) sum[v] = (vf){0};
        for (int32_t d = 0; d < size; d++)
            for (int v = 0; v < VECTORS; v++)
                sum[v] += splat(q[d]) * load(keys + d * GROUP + v * W);
        for (int v = 0; v < VECTORS; v++) store(scores + p + v * W, sum[v]);
    }
    float inverse = softmax(scores, n, padded, 1.0f / sqrtf((float)size));
    memset(out, 0, (size_t)size * 4);
    for (int32_t p = 0; p < n; p++) {
        const float *values = (const float *)(const void *)(page_of(c, p) + c->values_at);
        values += p % BLOCK * size;
        for (int32_t d = 0; d < size; d++) out[d] += scores[p] * values[d];
    }
    for (int32_t d = 0; d < size; d++) out[d] *= inverse;
}

static void attend(const gpt2_model *m, const float *q, int64_t ld_q, int32_t n_queries,
                   const gpt2_head_cache *c, int32_t n, const gpt2_head_cache *next,
                   const gpt2_rows_q8 *xq, float *scores, int64_t ld_scores, float *out,
                   int64_t ld_out) {
    if (m->type == GPT2_F32) {
        for (int32_t t = 0; t < n_queries; t++)
            attend_f32(q + t * ld_q, c, n + t, scores, out + t * ld_out);
        return;
    }
    int32_t most = n + n_queries - 1; /* positions, of the last query */
    gpt2_matrix keys = c->keys, values = c->values;
    keys.data = c->data;
    keys.n_groups = (most + GROUP - 1) / GROUP;
    keys.n_out = keys.n_groups * GROUP;
    values.data = c->data + c->values_at;
    values.n_blocks = (most + BLOCK - 1) / BLOCK;
    values.n_in = values.n_blocks * BLOCK;

    float inverse[ATTENTION_ROWS], scale = 1.0f / sqrtf((float)c->head_size);
    for (int32_t t = 0; t < n_queries; t++) quantize(q + t * ld_q, c->head_size, t, xq);
    product p = {.w = &keys, .xq = xq, .then = STORE, .y = scores, .ld_y = ld_scores};
    if (next) {
        p.ahead = next->data - c->data;
        p.ahead_bytes = c->bytes / 2 * GROUPS; /* each page has two groups of keys */
    }
    multiply(Q8_0, &p, n_queries, 0, keys.n_groups);
    for (int32_t t = 0; t < n_queries; t++) {
        float *s = scores + t * ld_scores;
        inverse[t] = softmax(s, n + t, values.n_in, scale);
        for (int32_t first = 0; first < n + t; first += BLOCK) {
            const float *scales = (const float *)(const void *)(page_of(c, first) + c->scales_at);
            int32_t some = n + t - first < BLOCK ? n + t - first : BLOCK;
            for (int32_t i = 0; i < some; i++) s[first + i] *= scales[i];
        }
        quantize(s, values.n_in, t, xq);
    }
    p = (product){.w = &values, .xq = xq, .then = STORE, .y = out, .ld_y = ld_out};
    multiply(Q8_0_UNSCALED, &p, n_queries, 0, values.n_groups);
    for (int32_t t = 0; t < n_queries; t++)
        for (int32_t d = 0; d < c->head_size; d++) out[t * ld_out + d] *= inverse[t];
}

/* ---- What sampling needs ------------------------------------------------------------------ */

static void cell_maxima(const float *x, int32_t n, float *cells) {
    vf most[VECTORS];
    for (int32_t i = 0; i < n; i += CELLS, cells += GROUP) {
        float padded[CELLS];
        const float *in = x + i;
        if (n - i < CELLS) {
            for (int32_t j = 0; j < CELLS; j++) padded[j] = j < n - i ? in[j] : -INFINITY;
            in = padded;
        }
        for (int v = 0; v < VECTORS; v++) most[v] = splat(-INFINITY);
        for (int j = 0; j < CELLS; j += GROUP) /* NaN is never larger */
            for (int v = 0; v < VECTORS; v++) most[v] = larger(load(in + j + v * W), most[v]);
        for (int v = 0; v < VECTORS; v++) store(cells + v * W, most[v]);
    }
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
    .cell_maxima = cell_maxima,
    .exp_shifted = exp_shifted,
};

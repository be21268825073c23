/* The arithmetic of a step, once per instruction set and bit for bit the same in each. */
#ifndef GPT2_KERNELS_H
#define GPT2_KERNELS_H

#include "model.h"

enum {
    CELLS = 256,       /* numbers that cell_maxima() takes at a time */
    ATTENTION_ROWS = 4 /* queries that attend() takes at a time */
};

/* Rows of activations, quantised for the int8 matrix product: x ~ scale * quant. */
typedef struct {
    int16_t *quant;  /* [rows][n_blocks][32], as these kernels read it: 8 or 16 bits each */
    float *scale;    /* [rows][n_blocks] */
    int32_t *offset; /* [rows][n_blocks]: -128 times the sum of a block's quants */
} gpt2_rows_q8;

/* One head's keys and values in the cache, in pages of 32 positions, so that what is read together
 * lies together. For GPT2_Q8_0 attention is two products with matrices of that type:
 *   keys    positions x head_size: a pair of groups on each page
 *   values  head_size x positions: a block of every group on each page, unscaled. The scales of the
 *           positions, float [32], stand behind them: each multiplies the weight that attention
 *           gives to its position.
 * GPT2_F32: keys in that layout too, values float [32][head_size]. */
typedef struct {
    gpt2_matrix keys, values;     /* as many positions as the reader says */
    uint8_t *data;                /* its part of the first page */
    int64_t page_stride;          /* bytes to its part of the next one */
    int64_t bytes;                /* of this head's part of a page */
    int64_t values_at, scales_at; /* bytes from the part's beginning */
    int32_t head_size;
} gpt2_head_cache;

/* What a matrix product does with its result z = W x + b. */
typedef enum { STORE, GELU, ADD } gpt2_epilogue;

struct gpt2_kernels {
    const char *name;

    /* y [n][ld_y] of the output rows in groups [g0, g1), from float rows x [n][n_in] or, for
     * Q8_0, the n quantised rows from `row` on. bias [n_out] may be NULL. */
    void (*matmul)(const gpt2_model *m, const gpt2_matrix *w, const float *bias, const float *x,
                   const gpt2_rows_q8 *xq, int32_t row, int32_t n, int32_t g0, int32_t g1,
                   gpt2_epilogue then, float *y, int64_t ld_y);

    /* Quantises row x [n_in] into row `row` of xq. */
    void (*quantize)(const float *x, int32_t n_in, int32_t row, const gpt2_rows_q8 *xq);

    /* Layer normalisation (Ba et al., 2016), epsilon 1e-5: y [n] from x [n]. */
    void (*layer_norm)(const float *x, const float *gain, const float *bias, int32_t n, float *y);

    /* Keys and values [head_size] of one position into one head's cache. */
    void (*cache_store)(const gpt2_model *m, const float *k, const float *v, int32_t position,
                        const gpt2_head_cache *cache);

    /* One head's attention of queries q [n_queries][ld_q], 1 to ATTENTION_ROWS of them one position
     * after the other, to the positions up to their own, n for the first: out [n_queries][ld_out].
     * next: the cache that is read after this one, to be fetched meanwhile, or NULL.
     * xq: scratch of ATTENTION_ROWS rows, for queries and for scores. scores: scratch
     * [ATTENTION_ROWS][ld_scores], ld_scores the positions rounded up to 32. */
    void (*attend)(const gpt2_model *m, const float *q, int64_t ld_q, int32_t n_queries,
                   const gpt2_head_cache *cache, int32_t n, const gpt2_head_cache *next,
                   const gpt2_rows_q8 *xq, float *scores, int64_t ld_scores, float *out,
                   int64_t ld_out);

    /* The largest number of each cell of x [n], -INFINITY where all are NaN. Cell c holds the 16
     * numbers at c / 16 * 256 + c % 16 + 16 j; cells [n / 256, rounded up][16]. */
    void (*cell_maxima)(const float *x, int32_t n, float *cells);

    /* y[i] = exp(x[i] - shift). */
    void (*exp_shifted)(const float *x, int64_t n, float shift, float *y);
};

extern const gpt2_kernels gpt2_kernels_portable, gpt2_kernels_avx2, gpt2_kernels_avx512;

/* The best kernels of this processor, or those that GPT2_KERNEL names if it can run them. */
const gpt2_kernels *gpt2_kernels_select(void);

#endif

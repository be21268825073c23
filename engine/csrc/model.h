/* The packed model: weights in the layout that the kernels read. */
#ifndef GPT2_MODEL_H
#define GPT2_MODEL_H

#include "gpt2.h"

typedef struct gpt2_kernels gpt2_kernels; /* kernels.h */

enum {
    GROUP = 16, /* output rows that are interleaved */
    BLOCK = 32  /* inputs that share one scale */
};

/* A weight matrix [n_out][n_in], its output rows in groups of 16 (the last one padded with zeros).
 *
 * GPT2_F32: group = float [n_in][16].
 * GPT2_Q8_0, inputs padded with zeros to n_blocks = ceil(n_in / 32) blocks:
 *   group = float16 scale [n_blocks][16], padded to 64 bytes, then
 *           uint8 quant [n_blocks][8][16][4]: 16 rows of 4 consecutive inputs each, stored as
 *           int8 + 128, since VPDPBUSD multiplies unsigned by signed bytes. */
typedef struct {
    const uint8_t *data;
    int64_t group_stride; /* bytes from the first group of a pair to the second */
    int64_t pair_stride;  /* bytes from pair to pair: twice that, but for keys in the cache */
    int64_t quants;       /* bytes from a group's beginning to its quants */
    int64_t block_stride; /* bytes from a block's quants to the next block's */
    int32_t n_in, n_out, n_blocks, n_groups;
} gpt2_matrix;

/* The shape of a matrix in this layout, without data. */
gpt2_matrix gpt2_matrix_shape(gpt2_type type, int32_t n_in, int32_t n_out);

typedef struct {
    const float *ln_1_g, *ln_1_b; /* [n_embd] */
    gpt2_matrix c_attn;           /* n_embd -> 3 n_embd */
    const float *c_attn_b;
    gpt2_matrix attn_proj; /* n_embd -> n_embd */
    const float *attn_proj_b;
    const float *ln_2_g, *ln_2_b;
    gpt2_matrix c_fc; /* n_embd -> 4 n_embd */
    const float *c_fc_b;
    gpt2_matrix mlp_proj; /* 4 n_embd -> n_embd */
    const float *mlp_proj_b;
} gpt2_layer;

struct gpt2_model {
    gpt2_hparams hp;
    gpt2_type type;
    int64_t size; /* bytes, packed */
    const gpt2_kernels *kernels;
    gpt2_matrix wte;  /* the token embedding and, transposed, the head: n_embd -> n_vocab */
    const float *wpe; /* [n_ctx][n_embd] */
    const float *ln_f_g, *ln_f_b;
    gpt2_layer layers[];
};

/* The embedding of one token, as the head's matrix holds it, into out [n_embd]. */
void gpt2_embedding(const gpt2_model *m, int32_t token, float *out);

#endif

/* One step: a batch of rows, each one token of some sequence, through the model. */
#ifndef GPT2_FORWARD_H
#define GPT2_FORWARD_H

#include "kernels.h"
#include "pool.h"

/* Keys and values of one sequence, for `capacity` positions, a multiple of 32. */
typedef struct {
    uint8_t *data;        /* pages of [n_layer][n_head] parts, a gap after each */
    gpt2_head_cache head; /* the shape of one head's */
    int32_t capacity;
} gpt2_kv;

int32_t gpt2_kv_new(const gpt2_model *m, int32_t capacity, gpt2_kv *kv);
void gpt2_kv_free(gpt2_kv *kv);
int64_t gpt2_kv_bytes(const gpt2_kv *kv);

/* Bytes that the first n positions take up. */
int64_t gpt2_kv_used(const gpt2_kv *kv, int32_t n);

/* Copies the keys and values of the first n positions. */
void gpt2_kv_copy(const gpt2_kv *from, int32_t n, gpt2_kv *to);

typedef struct {
    gpt2_kv *kv;
    int32_t token, position;
    int32_t logits; /* row of the logits to compute into, or -1: nobody samples after this token */
} gpt2_row;

/* Up to so many rows are normalised and quantised by every thread for itself, which takes less time
 * than to wait for each other. */
enum { PRIVATE_ROWS = 2 };

/* Buffers for batches of up to max_rows rows, of which max_logits are sampled. */
typedef struct {
    const gpt2_model *m;
    gpt2_pool *pool;
    int32_t max_rows;
    float *x;           /* [rows][n_embd]: the residual stream */
    float *normed;      /* [rows + PRIVATE_ROWS * threads][n_embd] */
    float *qkv;         /* [rows][3 n_embd] */
    float *mixed;       /* [rows][n_embd]: the heads' outputs side by side */
    float *hidden;      /* [rows][4 n_embd] */
    float *scores;      /* [threads][ATTENTION_ROWS][n_ctx rounded up to 32] */
    float *logits;      /* [max_logits][n_vocab] */
    gpt2_rows_q8 q;     /* [rows + PRIVATE_ROWS * threads]: the input of the next matrix product */
    gpt2_rows_q8 aside; /* [threads][ATTENTION_ROWS]: queries and scores, quantised */
} gpt2_workspace;

int32_t gpt2_workspace_new(const gpt2_model *m, gpt2_pool *pool, int32_t max_rows,
                           int32_t max_logits, gpt2_workspace *ws);
void gpt2_workspace_free(gpt2_workspace *ws);

/* Runs rows [n] (n <= max_rows; those of one sequence in order of position) through the model:
 * writes their keys and values and the logits that were asked for. Called by every thread of the
 * pool inside gpt2_pool_run(), and ends behind a barrier. */
void gpt2_forward(gpt2_workspace *ws, const gpt2_row *rows, int32_t n, int32_t thread);

#endif

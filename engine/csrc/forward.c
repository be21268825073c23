#include "forward.h"

#include <fenv.h>
#include <stdlib.h>
#include <string.h>

static int32_t head_size(const gpt2_model *m) { return m->hp.n_embd / m->hp.n_head; }

static int32_t round_up_16(int32_t n) { return (n + 15) / 16 * 16; }

static int64_t element_size(const gpt2_model *m) { return m->type == GPT2_F32 ? 4 : 2; }

/* Elements of one head's keys and of its values. */
static int64_t keys_size(const gpt2_model *m, int32_t capacity) {
    return (int64_t)capacity * head_size(m);
}

static int64_t values_size(const gpt2_model *m, int32_t capacity) {
    return (int64_t)capacity * round_up_16(head_size(m));
}

int32_t gpt2_kv_new(const gpt2_model *m, int32_t capacity, gpt2_kv *kv) {
    kv->capacity = round_up_16(capacity);
    int64_t head = keys_size(m, kv->capacity) + values_size(m, kv->capacity);
    kv->data = calloc((size_t)(head * m->hp.n_layer * m->hp.n_head), (size_t)element_size(m));
    return kv->data ? GPT2_OK : GPT2_ENOMEM;
}

void gpt2_kv_free(gpt2_kv *kv) {
    free(kv->data);
    kv->data = NULL;
}

static uint8_t *keys_of(const gpt2_model *m, const gpt2_kv *kv, int32_t layer, int32_t head) {
    int64_t size = keys_size(m, kv->capacity) + values_size(m, kv->capacity);
    return kv->data + ((int64_t)layer * m->hp.n_head + head) * size * element_size(m);
}

static uint8_t *values_of(const gpt2_model *m, const gpt2_kv *kv, int32_t layer, int32_t head) {
    return keys_of(m, kv, layer, head) + keys_size(m, kv->capacity) * element_size(m);
}

int32_t gpt2_workspace_new(const gpt2_model *m, gpt2_pool *pool, int32_t max_rows,
                           int32_t max_logits, gpt2_workspace *ws) {
    size_t rows = (size_t)max_rows, e = (size_t)m->hp.n_embd;
    size_t blocks = rows * ((4 * e + BLOCK - 1) / BLOCK);
    *ws = (gpt2_workspace){.m = m, .pool = pool};
    ws->x = malloc(rows * e * sizeof(float));
    ws->normed = malloc(rows * e * sizeof(float));
    ws->qkv = malloc(rows * 3 * e * sizeof(float));
    ws->mixed = malloc(rows * e * sizeof(float));
    ws->hidden = malloc(rows * 4 * e * sizeof(float));
    ws->scores =
        malloc((size_t)gpt2_pool_threads(pool) * (size_t)round_up_16(m->hp.n_ctx) * sizeof(float));
    ws->logits = malloc((size_t)max_logits * (size_t)m->hp.n_vocab * sizeof(float));
    ws->q.quant = malloc(blocks * BLOCK);
    ws->q.scale = malloc(blocks * sizeof(float));
    ws->q.sum = malloc(blocks * sizeof(int32_t));
    if (ws->x && ws->normed && ws->qkv && ws->mixed && ws->hidden && ws->scores && ws->logits &&
        ws->q.quant && ws->q.scale && ws->q.sum)
        return GPT2_OK;
    gpt2_workspace_free(ws);
    return GPT2_ENOMEM;
}

void gpt2_workspace_free(gpt2_workspace *ws) {
    free(ws->x);
    free(ws->normed);
    free(ws->qkv);
    free(ws->mixed);
    free(ws->hidden);
    free(ws->scores);
    free(ws->logits);
    free(ws->q.quant);
    free(ws->q.scale);
    free(ws->q.sum);
    *ws = (gpt2_workspace){0};
}

/* y = then(W x + bias) for n rows, output groups shared among the threads. */
static void linear(gpt2_workspace *ws, int32_t thread, const gpt2_matrix *w, const float *bias,
                   const float *x, int32_t n, gpt2_epilogue then, float *y) {
    int32_t begin, end;
    if (ws->m->type == GPT2_Q8_0) {
        gpt2_pool_share(ws->pool, thread, n, &begin, &end);
        for (int32_t r = begin; r < end; r++)
            ws->m->kernels->quantize(x + (int64_t)r * w->n_in, w->n_in, r, &ws->q);
    }
    gpt2_pool_barrier(ws->pool);
    gpt2_pool_share(ws->pool, thread, w->n_groups, &begin, &end);
    ws->m->kernels->matmul(ws->m, w, bias, x, &ws->q, n, begin, end, then, y, w->n_out);
    gpt2_pool_barrier(ws->pool);
}

static void normalise(gpt2_workspace *ws, int32_t thread, const float *gain, const float *bias,
                      int32_t n) {
    int32_t begin, end, e = ws->m->hp.n_embd;
    gpt2_pool_share(ws->pool, thread, n, &begin, &end);
    for (int32_t r = begin; r < end; r++)
        ws->m->kernels->layer_norm(ws->x + (int64_t)r * e, gain, bias, e,
                                   ws->normed + (int64_t)r * e);
}

/* Causal self-attention of every row to its sequence's positions up to its own. */
static void attention(gpt2_workspace *ws, int32_t thread, const gpt2_row *rows, int32_t n,
                      int32_t layer) {
    const gpt2_model *m = ws->m;
    int32_t e = m->hp.n_embd, size = head_size(m), heads = m->hp.n_head, begin, end;
    gpt2_pool_share(ws->pool, thread, n * heads, &begin, &end);
    for (int32_t i = begin; i < end; i++) {
        const gpt2_row *row = &rows[i / heads];
        int32_t h = i % heads;
        const float *k = ws->qkv + (int64_t)(i / heads) * 3 * e + e + h * size;
        ws->m->kernels->cache_store(m, k, k + e, row->position, size, keys_of(m, row->kv, layer, h),
                                    values_of(m, row->kv, layer, h));
    }
    gpt2_pool_barrier(ws->pool); /* rows of one prompt attend to each other */
    float *scores = ws->scores + (int64_t)thread * round_up_16(m->hp.n_ctx);
    for (int32_t i = begin; i < end; i++) {
        const gpt2_row *row = &rows[i / heads];
        int32_t h = i % heads;
        ws->m->kernels->attend(m, ws->qkv + (int64_t)(i / heads) * 3 * e + h * size,
                               keys_of(m, row->kv, layer, h), values_of(m, row->kv, layer, h),
                               row->position + 1, size, scores,
                               ws->mixed + (int64_t)(i / heads) * e + h * size);
    }
    gpt2_pool_barrier(ws->pool);
}

void gpt2_forward(gpt2_workspace *ws, const gpt2_row *rows, int32_t n, int32_t thread) {
    const gpt2_model *m = ws->m;
    int32_t e = m->hp.n_embd, begin, end;

    gpt2_pool_share(ws->pool, thread, n, &begin, &end);
    for (int32_t r = begin; r < end; r++) {
        float *x = ws->x + (int64_t)r * e;
        gpt2_embedding(m, rows[r].token, x);
        for (int32_t i = 0; i < e; i++) x[i] += m->wpe[(int64_t)rows[r].position * e + i];
    }

    for (int32_t l = 0; l < m->hp.n_layer; l++) {
        const gpt2_layer *layer = &m->layers[l];
        normalise(ws, thread, layer->ln_1_g, layer->ln_1_b, n);
        linear(ws, thread, &layer->c_attn, layer->c_attn_b, ws->normed, n, STORE, ws->qkv);
        attention(ws, thread, rows, n, l);
        linear(ws, thread, &layer->attn_proj, layer->attn_proj_b, ws->mixed, n, ADD, ws->x);
        normalise(ws, thread, layer->ln_2_g, layer->ln_2_b, n);
        linear(ws, thread, &layer->c_fc, layer->c_fc_b, ws->normed, n, GELU, ws->hidden);
        linear(ws, thread, &layer->mlp_proj, layer->mlp_proj_b, ws->hidden, n, ADD, ws->x);
    }

    /* The head, for the rows that are sampled. */
    int32_t sampled = 0;
    for (int32_t r = 0; r < n; r++) sampled += rows[r].logits >= 0;
    for (int32_t r = 0; r < n; r++)
        if (rows[r].logits >= 0 && rows[r].logits % gpt2_pool_threads(ws->pool) == thread)
            ws->m->kernels->layer_norm(ws->x + (int64_t)r * e, m->ln_f_g, m->ln_f_b, e,
                                       ws->normed + (int64_t)rows[r].logits * e);
    gpt2_pool_barrier(ws->pool);
    linear(ws, thread, &m->wte, NULL, ws->normed, sampled, STORE, ws->logits);
}

/* ---- All logits of one text, for evaluation ----------------------------------------------- */

enum { EVALUATION_ROWS = 64 };

typedef struct {
    gpt2_workspace ws;
    const gpt2_row *rows;
    int32_t n;
} evaluation;

static void evaluate(void *argument, int32_t thread) {
    evaluation *e = argument;
    gpt2_forward(&e->ws, e->rows, e->n, thread);
}

int32_t gpt2_logits(const gpt2_model *model, const int32_t *tokens, int32_t n, int32_t n_threads,
                    float *logits) {
    evaluation e;
    gpt2_kv kv;
    gpt2_row rows[EVALUATION_ROWS];
    gpt2_pool *pool = gpt2_pool_new(n_threads);
    if (!pool) return GPT2_ENOMEM;
    fenv_t callers;
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    int32_t status = gpt2_workspace_new(model, pool, EVALUATION_ROWS, EVALUATION_ROWS, &e.ws);
    if (status == GPT2_OK) {
        status = gpt2_kv_new(model, n, &kv);
        for (int32_t done = 0; status == GPT2_OK && done < n; done += e.n) {
            e.n = n - done < EVALUATION_ROWS ? n - done : EVALUATION_ROWS;
            for (int32_t i = 0; i < e.n; i++)
                rows[i] = (gpt2_row){&kv, tokens[done + i], done + i, i};
            e.rows = rows;
            gpt2_pool_run(pool, evaluate, &e);
            memcpy(logits + (int64_t)done * model->hp.n_vocab, e.ws.logits,
                   (size_t)e.n * (size_t)model->hp.n_vocab * sizeof(float));
        }
        gpt2_kv_free(&kv);
        gpt2_workspace_free(&e.ws);
    }
    fesetenv(&callers);
    gpt2_pool_free(pool);
    return status;
}

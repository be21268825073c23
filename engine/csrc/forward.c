#include "forward.h"

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
    int64_t bytes = gpt2_kv_bytes(m, kv);
    kv->data = (int64_t)(size_t)bytes == bytes ? malloc((size_t)bytes) : NULL; /* 32 bits */
    return kv->data ? GPT2_OK : GPT2_ENOMEM;
}

void gpt2_kv_free(gpt2_kv *kv) {
    free(kv->data);
    kv->data = NULL;
}

int64_t gpt2_kv_bytes(const gpt2_model *m, const gpt2_kv *kv) {
    return (keys_size(m, kv->capacity) + values_size(m, kv->capacity)) * m->hp.n_layer *
           m->hp.n_head * element_size(m);
}

static uint8_t *keys_of(const gpt2_model *m, const gpt2_kv *kv, int32_t layer, int32_t head) {
    int64_t size = keys_size(m, kv->capacity) + values_size(m, kv->capacity);
    return kv->data + ((int64_t)layer * m->hp.n_head + head) * size * element_size(m);
}

static uint8_t *values_of(const gpt2_model *m, const gpt2_kv *kv, int32_t layer, int32_t head) {
    return keys_of(m, kv, layer, head) + keys_size(m, kv->capacity) * element_size(m);
}

void gpt2_kv_copy(const gpt2_model *m, const gpt2_kv *from, int32_t n, gpt2_kv *to) {
    size_t keys = (size_t)(keys_size(m, round_up_16(n)) * element_size(m));
    size_t values = (size_t)(values_size(m, n) * element_size(m));
    for (int32_t l = 0; l < m->hp.n_layer; l++)
        for (int32_t h = 0; h < m->hp.n_head; h++) {
            memcpy(keys_of(m, to, l, h), keys_of(m, from, l, h), keys);
            memcpy(values_of(m, to, l, h), values_of(m, from, l, h), values);
        }
}

int32_t gpt2_workspace_new(const gpt2_model *m, gpt2_pool *pool, int32_t max_rows,
                           int32_t max_logits, gpt2_workspace *ws) {
    size_t rows = (size_t)max_rows, e = (size_t)m->hp.n_embd;
    size_t threads = (size_t)gpt2_pool_threads(pool), inputs = rows + PRIVATE_ROWS * threads;
    size_t blocks = inputs * ((4 * e + BLOCK - 1) / BLOCK);
    *ws = (gpt2_workspace){.m = m, .pool = pool, .max_rows = max_rows};
    ws->x = malloc(rows * e * sizeof(float));
    ws->normed = malloc(inputs * e * sizeof(float));
    ws->qkv = malloc(rows * 3 * e * sizeof(float));
    ws->mixed = malloc(rows * e * sizeof(float));
    ws->hidden = malloc(rows * 4 * e * sizeof(float));
    ws->scores =
        malloc(threads * ATTENTION_ROWS * (size_t)round_up_16(m->hp.n_ctx) * sizeof(float));
    ws->logits = malloc((size_t)max_logits * (size_t)m->hp.n_vocab * sizeof(float));
    ws->q.quant = malloc(blocks * BLOCK * sizeof *ws->q.quant);
    ws->q.scale = malloc(blocks * sizeof *ws->q.scale);
    ws->q.offset = malloc(blocks * sizeof *ws->q.offset);
    if (ws->x && ws->normed && ws->qkv && ws->mixed && ws->hidden && ws->scores && ws->logits &&
        ws->q.quant && ws->q.scale && ws->q.offset)
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
    free(ws->q.offset);
    *ws = (gpt2_workspace){0};
}

/* Which of n rows a thread prepares for the next matrix product, and where the rows go: few are
 * prepared by every thread for itself, more are shared, and then `ready` waits for the others. */
typedef struct {
    int32_t begin, end, at;
    int shared;
} preparation;

static preparation prepare(const gpt2_workspace *ws, int32_t thread, int32_t n) {
    preparation p = {0, n, ws->max_rows + PRIVATE_ROWS * thread, 0};
    if (n > PRIVATE_ROWS) {
        p.at = 0;
        p.shared = 1;
        gpt2_pool_share(ws->pool, thread, n, &p.begin, &p.end);
    }
    return p;
}

static void ready(const gpt2_workspace *ws, const preparation *p) {
    if (p->shared) gpt2_pool_barrier(ws->pool);
}

static void quantize(gpt2_workspace *ws, const float *x, int32_t n_in, int32_t row) {
    if (ws->m->type == GPT2_Q8_0) ws->m->kernels->quantize(x, n_in, row, &ws->q);
}

/* y = then(W x + bias) for n rows, output groups shared among the threads. `at` is the place of the
 * first row among the quantised ones. */
static void linear(gpt2_workspace *ws, int32_t thread, const gpt2_matrix *w, const float *bias,
                   const float *x, int32_t at, int32_t n, gpt2_epilogue then, float *y) {
    int32_t begin, end;
    gpt2_pool_share(ws->pool, thread, w->n_groups, &begin, &end);
    ws->m->kernels->matmul(ws->m, w, bias, x, &ws->q, at, n, begin, end, then, y, w->n_out);
    gpt2_pool_barrier(ws->pool);
}

/* The same after layer normalisation. */
static void normed_linear(gpt2_workspace *ws, int32_t thread, const float *gain, const float *shift,
                          const gpt2_matrix *w, const float *bias, int32_t n, gpt2_epilogue then,
                          float *y) {
    int64_t e = ws->m->hp.n_embd;
    preparation p = prepare(ws, thread, n);
    for (int32_t r = p.begin; r < p.end; r++) {
        float *normed = ws->normed + (p.at + r) * e;
        ws->m->kernels->layer_norm(ws->x + r * e, gain, shift, (int32_t)e, normed);
        quantize(ws, normed, (int32_t)e, p.at + r);
    }
    ready(ws, &p);
    linear(ws, thread, w, bias, ws->normed + p.at * e, p.at, n, then, y);
}

/* The same added to the residual stream. */
static void residual_linear(gpt2_workspace *ws, int32_t thread, const float *x,
                            const gpt2_matrix *w, const float *bias, int32_t n) {
    preparation p = prepare(ws, thread, n);
    for (int32_t r = p.begin; r < p.end; r++)
        quantize(ws, x + (int64_t)r * w->n_in, w->n_in, p.at + r);
    ready(ws, &p);
    linear(ws, thread, w, bias, x, p.at, n, ADD, ws->x);
}

/* Keys and values of row r and head h into the cache. */
static void store(const gpt2_workspace *ws, const gpt2_row *rows, int32_t r, int32_t layer,
                  int32_t h) {
    const gpt2_model *m = ws->m;
    int32_t e = m->hp.n_embd, size = head_size(m);
    const float *k = ws->qkv + (int64_t)r * 3 * e + e + h * size;
    m->kernels->cache_store(m, k, k + e, rows[r].position, size, keys_of(m, rows[r].kv, layer, h),
                            values_of(m, rows[r].kv, layer, h));
}

/* Fetches the cache of row r and head h. Caches of a large batch come from memory in pieces too
 * short for the processor to see where they go. */
static void fetch(const gpt2_model *m, const gpt2_row *row, int32_t layer, int32_t h) {
    int64_t keys = keys_size(m, round_up_16(row->position + 1)) * element_size(m);
    int64_t values = values_size(m, row->position + 1) * element_size(m);
    for (int64_t i = 0; i < keys; i += 64)
        __builtin_prefetch(keys_of(m, row->kv, layer, h) + i, 0, 2);
    for (int64_t i = 0; i < values; i += 64)
        __builtin_prefetch(values_of(m, row->kv, layer, h) + i, 0, 2);
}

/* Causal self-attention of every row to its sequence's positions up to its own. Threads share the
 * heads, and within a head the rows: where a thread has whole heads, it waits for nobody. */
static void attention(gpt2_workspace *ws, int32_t thread, const gpt2_row *rows, int32_t n,
                      int32_t layer) {
    const gpt2_model *m = ws->m;
    int32_t e = m->hp.n_embd, size = head_size(m), heads = m->hp.n_head, begin, end;
    int whole_heads = heads % gpt2_pool_threads(ws->pool) == 0;
    int64_t ld_scores = round_up_16(m->hp.n_ctx);
    float *scores = ws->scores + thread * ATTENTION_ROWS * ld_scores;
    gpt2_pool_share(ws->pool, thread, heads * n, &begin, &end);
    if (!whole_heads) {
        for (int32_t i = begin; i < end; i++) store(ws, rows, i % n, layer, i / n);
        gpt2_pool_barrier(ws->pool);
    }
    for (int32_t i = begin, run; i < end; i += run) {
        int32_t h = i / n, r = i % n;
        run = 1; /* rows of one sequence, in order of position */
        while (run < ATTENTION_ROWS && i + run < end && r + run < n &&
               rows[r + run].kv == rows[r].kv)
            run++;
        if (i + run < end && rows[(r + run) % n].kv != rows[r].kv)
            fetch(m, &rows[(r + run) % n], layer, (i + run) / n);
        if (whole_heads)
            for (int32_t j = 0; j < run; j++) store(ws, rows, r + j, layer, h);
        m->kernels->attend(m, ws->qkv + (int64_t)r * 3 * e + h * size, 3 * e, run,
                           keys_of(m, rows[r].kv, layer, h), values_of(m, rows[r].kv, layer, h),
                           rows[r].position + 1, size, scores, ld_scores,
                           ws->mixed + (int64_t)r * e + h * size, e);
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
    gpt2_pool_barrier(ws->pool);

    for (int32_t l = 0; l < m->hp.n_layer; l++) {
        const gpt2_layer *y = &m->layers[l];
        normed_linear(ws, thread, y->ln_1_g, y->ln_1_b, &y->c_attn, y->c_attn_b, n, STORE, ws->qkv);
        attention(ws, thread, rows, n, l);
        residual_linear(ws, thread, ws->mixed, &y->attn_proj, y->attn_proj_b, n);
        normed_linear(ws, thread, y->ln_2_g, y->ln_2_b, &y->c_fc, y->c_fc_b, n, GELU, ws->hidden);
        residual_linear(ws, thread, ws->hidden, &y->mlp_proj, y->mlp_proj_b, n);
    }

    /* The head, for the rows that are sampled: each moves to the place of its logits. */
    int32_t sampled = 0;
    for (int32_t r = 0; r < n; r++) {
        if (rows[r].logits < 0) continue;
        if (thread == 0 && rows[r].logits != r)
            memcpy(ws->x + (int64_t)rows[r].logits * e, ws->x + (int64_t)r * e,
                   (size_t)e * sizeof *ws->x);
        sampled++;
    }
    gpt2_pool_barrier(ws->pool);
    if (sampled > 0)
        normed_linear(ws, thread, m->ln_f_g, m->ln_f_b, &m->wte, NULL, sampled, STORE, ws->logits);
}

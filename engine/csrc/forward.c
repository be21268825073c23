#include "forward.h"

#include <stdlib.h>
#include <string.h>

/* Pages would fall on the same lines of the processor's smallest cache without it. */
enum { PAGE_GAP = 64 };

static int32_t head_size(const gpt2_model *m) { return m->hp.n_embd / m->hp.n_head; }

static int32_t round_up_32(int32_t n) { return (n + 31) / 32 * 32; }

/* The shape of one head's cache. */
static gpt2_head_cache head_shape(const gpt2_model *m) {
    gpt2_head_cache c = {.head_size = head_size(m)};
    c.keys = gpt2_matrix_shape(m->type, c.head_size, BLOCK);
    c.values = gpt2_matrix_shape(m->type, BLOCK, c.head_size);
    c.values_at = c.keys.pair_stride;
    if (m->type == GPT2_Q8_0) { /* no scales */
        c.values.quants = 0;
        c.values.group_stride = c.values.block_stride;
        c.values.pair_stride = 2 * c.values.group_stride;
    }
    c.scales_at = c.values_at + c.values.group_stride * c.values.n_groups;
    c.bytes = c.scales_at + BLOCK * (int64_t)sizeof(float);
    c.page_stride = c.bytes * m->hp.n_layer * m->hp.n_head + PAGE_GAP;
    c.keys.pair_stride = c.values.block_stride = c.page_stride;
    return c;
}

int32_t gpt2_kv_new(const gpt2_model *m, int32_t capacity, gpt2_kv *kv) {
    kv->capacity = round_up_32(capacity);
    kv->head = head_shape(m);
    int64_t bytes = gpt2_kv_bytes(kv); /* may be more than 32 bits can say */
    kv->data = (int64_t)(size_t)bytes == bytes ? aligned_alloc(64, (size_t)bytes) : NULL;
    return kv->data ? GPT2_OK : GPT2_ENOMEM;
}

void gpt2_kv_free(gpt2_kv *kv) {
    free(kv->data);
    kv->data = NULL;
}

int64_t gpt2_kv_used(const gpt2_kv *kv, int32_t n) {
    return round_up_32(n) / BLOCK * kv->head.page_stride;
}

int64_t gpt2_kv_bytes(const gpt2_kv *kv) { return gpt2_kv_used(kv, kv->capacity); }

static gpt2_head_cache cache_of(const gpt2_model *m, const gpt2_kv *kv, int32_t layer,
                                int32_t head) {
    gpt2_head_cache c = kv->head;
    c.data = kv->data + ((int64_t)layer * m->hp.n_head + head) * c.bytes;
    return c;
}

void gpt2_kv_copy(const gpt2_kv *from, int32_t n, gpt2_kv *to) {
    memcpy(to->data, from->data, (size_t)gpt2_kv_used(from, n));
}

/* Blocks that a quantised row of attention needs: a query's, or those of all scores. */
static size_t blocks_aside(const gpt2_model *m) {
    int32_t widest = head_size(m) > m->hp.n_ctx ? head_size(m) : m->hp.n_ctx;
    return (size_t)round_up_32(widest) / BLOCK;
}

static int rows_new(size_t blocks, gpt2_rows_q8 *rows) {
    rows->quant = malloc(blocks * BLOCK * sizeof *rows->quant);
    rows->scale = malloc(blocks * sizeof *rows->scale);
    rows->offset = malloc(blocks * sizeof *rows->offset);
    return rows->quant && rows->scale && rows->offset;
}

static void rows_free(gpt2_rows_q8 *rows) {
    free(rows->quant);
    free(rows->scale);
    free(rows->offset);
}

int32_t gpt2_workspace_new(const gpt2_model *m, gpt2_pool *pool, int32_t max_rows,
                           int32_t max_logits, gpt2_workspace *ws) {
    size_t rows = (size_t)max_rows, e = (size_t)m->hp.n_embd;
    size_t threads = (size_t)gpt2_pool_threads(pool), inputs = rows + PRIVATE_ROWS * threads;
    size_t blocks = inputs * ((4 * e + BLOCK - 1) / BLOCK);
    size_t aside = threads * ATTENTION_ROWS * blocks_aside(m);
    *ws = (gpt2_workspace){.m = m, .pool = pool, .max_rows = max_rows};
    ws->x = malloc(rows * e * sizeof(float));
    ws->normed = malloc(inputs * e * sizeof(float));
    ws->qkv = malloc(rows * 3 * e * sizeof(float));
    ws->mixed = malloc(rows * e * sizeof(float));
    ws->hidden = malloc(rows * 4 * e * sizeof(float));
    ws->scores =
        malloc(threads * ATTENTION_ROWS * (size_t)round_up_32(m->hp.n_ctx) * sizeof(float));
    ws->logits = malloc((size_t)max_logits * (size_t)m->hp.n_vocab * sizeof(float));
    if (rows_new(blocks, &ws->q) && rows_new(aside, &ws->aside) && ws->x && ws->normed && ws->qkv &&
        ws->mixed && ws->hidden && ws->scores && ws->logits)
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
    rows_free(&ws->q);
    rows_free(&ws->aside);
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

static gpt2_rows_q8 rows_aside(const gpt2_workspace *ws, int32_t thread) {
    size_t at = (size_t)thread * ATTENTION_ROWS * blocks_aside(ws->m);
    return (gpt2_rows_q8){ws->aside.quant + at * BLOCK, ws->aside.scale + at,
                          ws->aside.offset + at};
}

/* Rows [r, r + n) of one sequence in one head: their keys and values go into the cache, then each
 * attends to the positions up to its own. `next` is the cache that is read after this one, or NULL.
 */
static void attend(gpt2_workspace *ws, int32_t thread, const gpt2_row *rows, int32_t r, int32_t n,
                   int32_t head, const gpt2_head_cache *c, const gpt2_head_cache *next) {
    const gpt2_model *m = ws->m;
    int64_t e = m->hp.n_embd, ld_scores = round_up_32(m->hp.n_ctx);
    float *scores = ws->scores + thread * ATTENTION_ROWS * ld_scores;
    float *out = ws->mixed + r * e + head * c->head_size;
    const float *q = ws->qkv + r * 3 * e + head * c->head_size, *k = q + e, *v = k + e;
    gpt2_rows_q8 aside = rows_aside(ws, thread);
    for (int32_t i = 0; i < n; i++)
        m->kernels->cache_store(m, k + i * 3 * e, v + i * 3 * e, rows[r + i].position, c);
    for (int32_t i = 0; i < n; i += ATTENTION_ROWS) {
        int32_t some = n - i < ATTENTION_ROWS ? n - i : ATTENTION_ROWS;
        m->kernels->attend(m, q + i * 3 * e, 3 * e, some, c, rows[r + i].position + 1,
                           i + some == n ? next : NULL, &aside, scores, ld_scores, out + i * e, e);
    }
}

/* Causal self-attention of all n rows. Threads share the sequences' heads. */
static void attention(gpt2_workspace *ws, int32_t thread, const gpt2_row *rows, int32_t n,
                      int32_t layer) {
    const gpt2_model *m = ws->m;
    int32_t heads = m->hp.n_head, sequences = 0, begin, end;
    for (int32_t r = 0; r < n; r++) sequences += r == 0 || rows[r].kv != rows[r - 1].kv;
    gpt2_pool_share(ws->pool, thread, sequences * heads, &begin, &end);
    for (int32_t r = 0, run, i = 0; r < n; r += run) {
        for (run = 1; r + run < n && rows[r + run].kv == rows[r].kv;) run++;
        for (int32_t h = 0; h < heads; h++, i++) {
            if (i < begin || i >= end) continue;
            gpt2_head_cache c = cache_of(m, rows[r].kv, layer, h), next = c;
            if (i + 1 < end)
                next = h + 1 < heads ? cache_of(m, rows[r].kv, layer, h + 1)
                                     : cache_of(m, rows[r + run].kv, layer, 0);
            attend(ws, thread, rows, r, run, h, &c, i + 1 < end ? &next : NULL);
        }
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

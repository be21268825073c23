/* All logits of one text. */
#include <fenv.h>
#include <string.h>

#include "forward.h"

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
            gpt2_pool_run(pool, e.n, evaluate, &e);
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

/* One text, step by step. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "forward.h"

enum { STEP_ROWS = 64 };

struct gpt2_session {
    const gpt2_model *m;
    gpt2_workspace ws;
    gpt2_kv kv;
    void *scratch; /* of gpt2_sample() */
    gpt2_sampling how;
    int32_t stop_token;
    int32_t n_prompt, length, n_drawn;
    int32_t *tokens; /* [n_prompt + length]: the prompt, then what was drawn */
    int32_t start;   /* the token at which the context window begins */
    int32_t n_done;  /* tokens of the window that went through the model */
    int ended;
};

static int32_t larger_of(int32_t a, int32_t b) { return a > b ? a : b; }

static int32_t smaller_of(int32_t a, int32_t b) { return a < b ? a : b; }

/* What a context window begins with when it slides. */
static int32_t half_window(const gpt2_model *m) { return larger_of(m->hp.n_ctx / 2, 1); }

gpt2_session *gpt2_session_new(const gpt2_model *model, const int32_t *prompt, int32_t n,
                               int32_t length, double temperature, int32_t top_k, double top_p,
                               double repetition_penalty, uint32_t seed, int32_t stop_token) {
    gpt2_session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    int32_t n_ctx = model->hp.n_ctx;
    s->m = model;
    s->how = (gpt2_sampling){.temperature = (float)temperature,
                             .top_p = (float)top_p,
                             .repetition_penalty = (float)repetition_penalty,
                             .top_k = top_k,
                             .seed = seed};
    if (top_p > 0 && s->how.top_p < 1e-30f) s->how.top_p = 1e-30f; /* 0 is off */
    s->stop_token = stop_token;
    s->n_prompt = smaller_of(n, larger_of(n_ctx - length, half_window(model)));
    s->length = length;
    s->tokens = malloc((size_t)(s->n_prompt + length) * sizeof *s->tokens);
    s->scratch = malloc((size_t)gpt2_sample_scratch(model));
    if (!s->tokens || !s->scratch ||
        gpt2_workspace_new(model, NULL, STEP_ROWS, 1, &s->ws) != GPT2_OK ||
        gpt2_kv_new(model, smaller_of(s->n_prompt + length, n_ctx), &s->kv) != GPT2_OK) {
        gpt2_session_free(s);
        return NULL;
    }
    memcpy(s->tokens, prompt + (n - s->n_prompt), (size_t)s->n_prompt * sizeof *prompt);
    return s;
}

void gpt2_session_free(gpt2_session *s) {
    gpt2_kv_free(&s->kv);
    gpt2_workspace_free(&s->ws);
    free(s->scratch);
    free(s->tokens);
    free(s);
}

int32_t gpt2_session_step(gpt2_session *s) {
    if (s->ended) return GPT2_END;
    int32_t known = s->n_prompt + s->n_drawn;
    if (known - s->start > s->m->hp.n_ctx) { /* the window is full: it slides */
        s->start = known - half_window(s->m);
        s->n_done = 0;
    }
    gpt2_row rows[STEP_ROWS];
    int32_t n = 0;
    for (; n < STEP_ROWS && s->start + s->n_done < known; n++, s->n_done++)
        rows[n] = (gpt2_row){&s->kv, s->tokens[s->start + s->n_done], s->n_done, -1};
    int draws = s->start + s->n_done == known;
    if (draws) rows[n - 1].logits = 0;
    gpt2_forward(&s->ws, rows, n, 0);
    if (!draws) return GPT2_READING;
    int32_t token = gpt2_sample(s->m, s->ws.logits, &s->how, s->tokens + s->start, s->n_done,
                                s->stop_token, (uint32_t)s->n_drawn, s->scratch);
    if (token == s->stop_token) {
        s->ended = 1;
        return GPT2_END;
    }
    s->tokens[s->n_prompt + s->n_drawn++] = token;
    s->ended = s->n_drawn == s->length;
    return token;
}

const float *gpt2_session_logits(const gpt2_session *s) { return s->ws.logits; }

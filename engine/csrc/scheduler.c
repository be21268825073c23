/* Continuous batching: one thread advances all live requests together, a token a step. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "forward.h"

/* Prompt tokens that one step takes in at most, so that long prompts stall nobody. */
enum { PREFILL_ROWS = 64 };

struct gpt2_request {
    gpt2_request *next; /* in the queue of those that wait */
    int32_t n_prompt, length, stop_token;
    gpt2_sampling how;
    atomic_int cancelled;
    atomic_int references; /* the owner's and the scheduler's */

    /* Read and written under `lock`, which outlives the scheduler. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t n_drawn;
    gpt2_finish finish;
    int32_t *tokens; /* [n_prompt + length]: the prompt, then what was drawn */

    /* The scheduler thread's own. */
    gpt2_kv kv;
    int32_t n_done; /* tokens whose keys and values are in the cache */
};

struct gpt2_scheduler {
    const gpt2_model *m;
    gpt2_pool *pool;
    gpt2_workspace ws;
    int32_t max_batch;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t work;
    gpt2_request *first, *last; /* waiting, in order */
    int32_t n_waiting, n_live;
    int stopping;

    /* The scheduler thread's own. */
    gpt2_request **live; /* [max_batch] */
    gpt2_row *rows;      /* [max_rows] */
    int32_t n_rows;
    gpt2_request **sampled; /* [max_batch]: the request of each row of logits */
    int32_t *drawn;         /* [max_batch] */
    int32_t n_sampled;
    float *scratch; /* [threads][2 n_vocab] */
};

static void drop_reference(gpt2_request *r) {
    if (atomic_fetch_sub(&r->references, 1) > 1) return;
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->tokens);
    free(r);
}

/* Puts a request at the end of the queue; the caller holds the lock. */
static void append(gpt2_scheduler *s, gpt2_request *r) {
    if (s->last)
        s->last->next = r;
    else
        s->first = r;
    s->last = r;
    s->n_waiting++;
}

/* The scheduler's last word on a request. */
static void end_request(gpt2_request *r, gpt2_finish finish) {
    gpt2_kv_free(&r->kv);
    pthread_mutex_lock(&r->lock);
    r->finish = finish;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    drop_reference(r);
}

/* ---- The scheduler thread ----------------------------------------------------------------- */

/* Takes waiting requests into the batch, as many as fit, and lets those go that were cancelled.
 * Blocks while there is nothing to do. 0 ends the thread. */
static int admit(gpt2_scheduler *s) {
    pthread_mutex_lock(&s->lock);
    while (!s->stopping && s->n_live == 0 && !s->first) pthread_cond_wait(&s->work, &s->lock);
    int going = !s->stopping;
    gpt2_request *waiting = s->first, *ended = NULL;
    s->first = s->last = NULL;
    s->n_waiting = 0;
    for (gpt2_request *r = waiting, *next; r; r = next) {
        next = r->next;
        r->next = NULL;
        if (going && !atomic_load(&r->cancelled) && s->n_live == s->max_batch) {
            append(s, r);
        } else if (going && !atomic_load(&r->cancelled) &&
                   gpt2_kv_new(s->m, r->n_prompt + r->length, &r->kv) == GPT2_OK) {
            s->live[s->n_live++] = r;
        } else {
            r->next = ended;
            ended = r;
        }
    }
    pthread_mutex_unlock(&s->lock);
    for (gpt2_request *r = ended, *next; r; r = next) {
        next = r->next;
        end_request(r, going && !atomic_load(&r->cancelled) ? GPT2_FAILED : GPT2_CANCELLED);
    }
    return going;
}

static void leave(gpt2_scheduler *s, int32_t i, gpt2_finish finish) {
    gpt2_request *r = s->live[i];
    pthread_mutex_lock(&s->lock);
    s->n_live--;
    for (int32_t j = i; j < s->n_live; j++) s->live[j] = s->live[j + 1]; /* oldest first */
    pthread_mutex_unlock(&s->lock);
    end_request(r, finish);
}

static void add_row(gpt2_scheduler *s, gpt2_request *r) {
    int32_t position = r->n_done++, known = r->n_prompt + r->n_drawn;
    gpt2_row *row = &s->rows[s->n_rows++];
    *row = (gpt2_row){&r->kv, r->tokens[position], position, -1};
    if (r->n_done == known) { /* the newest token: draw the next one after it */
        row->logits = s->n_sampled;
        s->sampled[s->n_sampled++] = r;
    }
}

/* One row for each request that is drawing, and prompt rows in order of arrival. */
static void fill_batch(gpt2_scheduler *s) {
    s->n_rows = s->n_sampled = 0;
    int32_t prefill = PREFILL_ROWS;
    for (int32_t i = 0; i < s->n_live; i++) {
        gpt2_request *r = s->live[i];
        if (r->n_drawn > 0) {
            add_row(s, r);
            continue;
        }
        for (; prefill > 0 && r->n_done < r->n_prompt; prefill--) add_row(s, r);
    }
}

static void step(void *argument, int32_t thread) {
    gpt2_scheduler *s = argument;
    gpt2_forward(&s->ws, s->rows, s->n_rows, thread);
    int32_t begin, end, n_vocab = s->m->hp.n_vocab;
    gpt2_pool_share(s->pool, thread, s->n_sampled, &begin, &end);
    for (int32_t i = begin; i < end; i++)
        s->drawn[i] = gpt2_sample(s->m, s->ws.logits + (int64_t)i * n_vocab, &s->sampled[i]->how,
                                  (uint32_t)s->sampled[i]->n_drawn,
                                  s->scratch + (int64_t)thread * 2 * n_vocab);
}

/* Hands a drawn token to the request's reader; what has ended the request, if anything. */
static gpt2_finish deliver(gpt2_request *r, int32_t token) {
    if (token == r->stop_token) return GPT2_STOP;
    pthread_mutex_lock(&r->lock);
    r->tokens[r->n_prompt + r->n_drawn++] = token;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return r->n_drawn == r->length ? GPT2_LENGTH : GPT2_RUNNING;
}

static void *run(void *argument) {
    gpt2_scheduler *s = argument;
    for (;;) {
        for (int32_t i = s->n_live - 1; i >= 0; i--)
            if (atomic_load(&s->live[i]->cancelled)) leave(s, i, GPT2_CANCELLED);
        if (!admit(s)) break;
        if (s->n_live == 0) continue;
        fill_batch(s);
        gpt2_pool_run(s->pool, step, s);
        for (int32_t i = s->n_live - 1, j = s->n_sampled - 1; i >= 0 && j >= 0; i--) {
            if (s->live[i] != s->sampled[j]) continue; /* still reading its prompt */
            gpt2_finish finish = deliver(s->sampled[j], s->drawn[j]);
            if (finish != GPT2_RUNNING) leave(s, i, finish);
            j--;
        }
    }
    while (s->n_live > 0) leave(s, s->n_live - 1, GPT2_CANCELLED);
    return NULL;
}

/* ---- The owner's side --------------------------------------------------------------------- */

static void free_scheduler(gpt2_scheduler *s) {
    gpt2_workspace_free(&s->ws);
    if (s->pool) gpt2_pool_free(s->pool);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s->live);
    free(s->rows);
    free(s->sampled);
    free(s->drawn);
    free(s->scratch);
    free(s);
}

gpt2_scheduler *gpt2_scheduler_start(const gpt2_model *model, int32_t n_threads,
                                     int32_t max_batch) {
    gpt2_scheduler *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    size_t batch = (size_t)max_batch;
    s->m = model;
    s->max_batch = max_batch;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->live = calloc(batch, sizeof *s->live);
    s->rows = calloc(batch + PREFILL_ROWS, sizeof *s->rows);
    s->sampled = calloc(batch, sizeof *s->sampled);
    s->drawn = calloc(batch, sizeof *s->drawn);
    s->pool = gpt2_pool_new(n_threads);
    if (s->pool)
        s->scratch = calloc((size_t)gpt2_pool_threads(s->pool) * 2 * (size_t)model->hp.n_vocab,
                            sizeof *s->scratch);
    if (!s->live || !s->rows || !s->sampled || !s->drawn || !s->scratch ||
        gpt2_workspace_new(model, s->pool, max_batch + PREFILL_ROWS, max_batch, &s->ws) !=
            GPT2_OK ||
        gpt2_thread_start(&s->thread, run, s) != 0) {
        free_scheduler(s);
        return NULL;
    }
    return s;
}

void gpt2_scheduler_stop(gpt2_scheduler *s) {
    pthread_mutex_lock(&s->lock);
    s->stopping = 1;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    free_scheduler(s);
}

gpt2_request *gpt2_submit(gpt2_scheduler *s, const int32_t *prompt, int32_t n, int32_t length,
                          const gpt2_sampling *how, int32_t stop_token) {
    gpt2_request *r = calloc(1, sizeof *r);
    if (r) r->tokens = malloc(((size_t)n + (size_t)length) * sizeof *r->tokens);
    if (!r || !r->tokens) {
        free(r);
        return NULL;
    }
    memcpy(r->tokens, prompt, (size_t)n * sizeof *prompt);
    r->n_prompt = n;
    r->length = length;
    r->how = *how;
    r->stop_token = stop_token;
    atomic_init(&r->references, 2);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    pthread_mutex_lock(&s->lock);
    append(s, r);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return r;
}

int32_t gpt2_read(gpt2_request *r, int32_t seen, int32_t *out, int32_t capacity, int32_t timeout_ms,
                  int32_t *finish) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&r->lock);
    int waited = 0;
    while (r->n_drawn <= seen && r->finish == GPT2_RUNNING && waited == 0)
        waited = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    int32_t n = r->n_drawn - seen < capacity ? r->n_drawn - seen : capacity;
    memcpy(out, r->tokens + r->n_prompt + seen, (size_t)n * sizeof *out);
    *finish = seen + n == r->n_drawn ? (int32_t)r->finish : GPT2_RUNNING;
    pthread_mutex_unlock(&r->lock);
    return n;
}

void gpt2_cancel(gpt2_request *r) { atomic_store(&r->cancelled, 1); }

void gpt2_release(gpt2_request *r) {
    gpt2_cancel(r);
    drop_reference(r);
}

void gpt2_scheduler_stats(gpt2_scheduler *s, int32_t *running, int32_t *waiting) {
    pthread_mutex_lock(&s->lock);
    *running = s->n_live;
    *waiting = s->n_waiting;
    pthread_mutex_unlock(&s->lock);
}

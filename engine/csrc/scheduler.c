/* Continuous batching: one thread advances all live requests together, a token a step. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "forward.h"
#include "thread.h"

enum {
    PREFILL_ROWS = 64,  /* prompt tokens that a step takes in, so that long ones stall nobody */
    SHARED_TOKENS = 16, /* fewer are computed sooner than looked for */
    MAX_KEPT = 64,      /* caches of ended requests */
    /* Microseconds in which a reader is woken once at most: so many for each live request, so that
     * all together are woken four hundred times a second, within these bounds. */
    WAKE_US = 2500,
    SHORTEST_WAKE_US = 4000,
    LONGEST_WAKE_US = 200000
};

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
    int32_t start;  /* the token at which the context window begins */
    int32_t n_done; /* tokens of the window that went through the model, or do in this step */
    int waits;      /* for an older request to compute what both need */
    int64_t woken;  /* microseconds: when its readers were told of tokens last */
};

/* The cache of a request that ended, for others that begin with the same tokens. */
typedef struct {
    gpt2_kv kv;
    int32_t *tokens; /* [n] */
    int32_t n;
} kept_cache;

struct gpt2_scheduler {
    const gpt2_model *m;
    gpt2_pool *pool;
    gpt2_workspace ws;
    int32_t max_batch, prefill_rows;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t work;
    gpt2_request *first, *last; /* waiting, in order */
    gpt2_stats stats;
    int stopping;

    /* The scheduler thread's own. */
    gpt2_request **live; /* [max_batch], oldest first */
    int32_t n_live;
    gpt2_row *rows; /* [max_rows] */
    int32_t n_rows;
    gpt2_request **sampled; /* [max_batch]: the request of each row of logits */
    int32_t *drawn;         /* [max_batch] */
    int32_t n_sampled;
    uint8_t *scratch;          /* [threads] of gpt2_sample_scratch() */
    kept_cache kept[MAX_KEPT]; /* oldest first */
    int32_t n_kept;
    int64_t kept_bytes, max_kept_bytes;
    int64_t n_shared; /* tokens that this step copied */
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
    s->stats.waiting++;
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
    gpt2_request *admitted = NULL, **end = &admitted, *cancelled = NULL, *next;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping && s->n_live == 0 && !s->first) pthread_cond_wait(&s->work, &s->lock);
    int going = !s->stopping, room = s->max_batch - s->n_live;
    gpt2_request *waiting = s->first;
    s->first = s->last = NULL;
    s->stats.waiting = 0;
    for (gpt2_request *r = waiting; r; r = next) {
        next = r->next;
        r->next = NULL;
        if (!going || atomic_load(&r->cancelled)) {
            r->next = cancelled;
            cancelled = r;
        } else if (room > 0) {
            room--;
            *end = r;
            end = &r->next;
            s->stats.running++;
        } else {
            append(s, r);
        }
    }
    pthread_mutex_unlock(&s->lock);
    for (gpt2_request *r = cancelled; r; r = next) {
        next = r->next;
        end_request(r, GPT2_CANCELLED);
    }
    for (gpt2_request *r = admitted; r; r = next) {
        next = r->next;
        s->live[s->n_live++] = r;
    }
    return going;
}

static int32_t known(const gpt2_request *r) { return r->n_prompt + r->n_drawn - r->start; }

/* Forgets the oldest n of the caches that were kept. */
static void forget(gpt2_scheduler *s, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        s->kept_bytes -= gpt2_kv_bytes(&s->kept[i].kv);
        gpt2_kv_free(&s->kept[i].kv);
        free(s->kept[i].tokens);
    }
    s->n_kept -= n;
    memmove(s->kept, s->kept + n, (size_t)s->n_kept * sizeof *s->kept);
}

/* How many tokens two sequences have in common at their beginning. */
static int32_t common(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b) {
    int32_t i = 0, n = n_a < n_b ? n_a : n_b;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

/* The cache of a request that leaves, or a smaller one where most of its room is empty or there is
 * none for it. */
static gpt2_kv take_cache(gpt2_scheduler *s, gpt2_request *r) {
    gpt2_kv kv = r->kv, smaller;
    int large = kv.capacity > 2 * r->n_done || gpt2_kv_bytes(&kv) > s->max_kept_bytes;
    if (large && gpt2_kv_new(s->m, r->n_done, &smaller) == GPT2_OK) {
        gpt2_kv_copy(&kv, r->n_done, &smaller);
        return smaller;
    }
    r->kv.data = NULL;
    return kv;
}

/* Keeps what a request that leaves has computed, if that is of use and there is room for it. */
static void keep(gpt2_scheduler *s, gpt2_request *r) {
    int32_t n = r->n_done;
    const int32_t *tokens = r->tokens + r->start;
    if (n < SHARED_TOKENS || gpt2_kv_used(&r->kv, n) > s->max_kept_bytes) return;
    for (int32_t i = 0; i < s->n_kept; i++)
        if (common(tokens, n, s->kept[i].tokens, s->kept[i].n) == n) return;
    kept_cache new = {take_cache(s, r), malloc((size_t)n * sizeof *tokens), n};
    if (!new.tokens || gpt2_kv_bytes(&new.kv) > s->max_kept_bytes) { /* memory was out */
        gpt2_kv_free(&new.kv);
        free(new.tokens);
        return;
    }
    memcpy(new.tokens, tokens, (size_t)n * sizeof *tokens);
    s->kept_bytes += gpt2_kv_bytes(&new.kv);
    while (s->kept_bytes > s->max_kept_bytes || s->n_kept == MAX_KEPT) forget(s, 1);
    s->kept[s->n_kept++] = new;
}

static void leave(gpt2_scheduler *s, int32_t i, gpt2_finish finish) {
    gpt2_request *r = s->live[i];
    s->n_live--;
    for (int32_t j = i; j < s->n_live; j++) s->live[j] = s->live[j + 1];
    pthread_mutex_lock(&s->lock);
    s->stats.running--;
    pthread_mutex_unlock(&s->lock);
    keep(s, r);
    end_request(r, finish);
}

/* Copies what was computed for the same tokens to live request i, which has nothing yet: from an
 * ended request, or an older live one. Such a one may be about to compute more of them: 0 then, and
 * it pays to wait. */
static int share(gpt2_scheduler *s, int32_t i) {
    gpt2_request *r = s->live[i];
    const int32_t *tokens = r->tokens + r->start;
    const gpt2_kv *from = NULL;
    int32_t most = SHARED_TOKENS - 1, n = known(r) - 1; /* the last is computed, for its logits */
    for (int32_t j = 0; j < s->n_kept; j++) {
        int32_t c = common(tokens, n, s->kept[j].tokens, s->kept[j].n);
        if (c > most) {
            most = c;
            from = &s->kept[j].kv;
        }
    }
    for (int32_t j = 0; j < i; j++) {
        const gpt2_request *older = s->live[j];
        int32_t c = common(tokens, n, older->tokens + older->start, known(older));
        if (c > most && c >= older->n_done + SHARED_TOKENS) return 0;
        c = c < older->n_done ? c : older->n_done;
        if (c > most) {
            most = c;
            from = &older->kv;
        }
    }
    if (from) {
        gpt2_kv_copy(from, most, &r->kv);
        r->n_done = most;
        s->n_shared += most;
    }
    return 1;
}

/* A full context window moves on: its last half begins a new one. */
static void slide(gpt2_scheduler *s, gpt2_request *r) {
    int32_t half = s->m->hp.n_ctx / 2;
    if (known(r) <= s->m->hp.n_ctx) return;
    r->start += known(r) - (half > 0 ? half : 1);
    r->n_done = 0;
}

static void add_row(gpt2_scheduler *s, gpt2_request *r) {
    int32_t position = r->n_done++;
    gpt2_row *row = &s->rows[s->n_rows++];
    *row = (gpt2_row){&r->kv, r->tokens[r->start + position], position, -1};
    if (r->n_done == known(r)) { /* the newest token: draw the next one after it */
        row->logits = s->n_sampled;
        s->sampled[s->n_sampled++] = r;
    }
}

/* One row for each request that is drawing, and others' prompt rows in order of arrival. */
static void fill_batch(gpt2_scheduler *s) {
    int32_t prefill = s->prefill_rows;
    s->n_rows = s->n_sampled = s->n_shared = 0;
    for (int32_t i = 0; i < s->n_live; i++) { /* before any row counts as done */
        slide(s, s->live[i]);
        s->live[i]->waits = s->live[i]->n_done == 0 && !share(s, i);
    }
    for (int32_t i = 0; i < s->n_live; i++) {
        gpt2_request *r = s->live[i];
        if (r->waits) continue;
        if (r->n_done > 0 && r->n_done == known(r) - 1) {
            add_row(s, r);
            continue;
        }
        for (; prefill > 0 && r->n_done < known(r); prefill--) add_row(s, r);
    }
}

static void step(void *argument, int32_t thread) {
    gpt2_scheduler *s = argument;
    gpt2_forward(&s->ws, s->rows, s->n_rows, thread);
    int32_t begin, end, n_vocab = s->m->hp.n_vocab;
    gpt2_pool_share(s->pool, thread, s->n_sampled, &begin, &end);
    for (int32_t i = begin; i < end; i++) {
        const gpt2_request *r = s->sampled[i];
        s->drawn[i] = gpt2_sample(
            s->m, s->ws.logits + (int64_t)i * n_vocab, &r->how, r->tokens + r->start, known(r),
            r->stop_token, (uint32_t)r->n_drawn, s->scratch + thread * gpt2_sample_scratch(s->m));
    }
}

/* Hands a drawn token to the request's reader; what has ended the request, if anything. A reader is
 * woken once in `pause` microseconds, since a woken thread takes the processor from the next step;
 * the first token and the end of a request wake it too. */
static gpt2_finish deliver(gpt2_request *r, int32_t token, int64_t now, int64_t pause) {
    if (token == r->stop_token) return GPT2_STOP;
    pthread_mutex_lock(&r->lock);
    r->tokens[r->n_prompt + r->n_drawn++] = token;
    if (now - r->woken >= pause) {
        r->woken = now;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return r->n_drawn == r->length ? GPT2_LENGTH : GPT2_RUNNING;
}

static int new_cache(gpt2_scheduler *s, int32_t capacity, gpt2_kv *kv) {
    if (gpt2_kv_new(s->m, capacity, kv) == GPT2_OK) return 1;
    forget(s, s->n_kept); /* live texts come first */
    return gpt2_kv_new(s->m, capacity, kv) == GPT2_OK;
}

/* Lets those go that were cancelled or find no memory. */
static void clear(gpt2_scheduler *s) {
    int32_t n_ctx = s->m->hp.n_ctx;
    for (int32_t i = s->n_live - 1; i >= 0; i--) {
        gpt2_request *r = s->live[i];
        int32_t most = r->length < n_ctx - r->n_prompt ? r->n_prompt + r->length : n_ctx;
        if (atomic_load(&r->cancelled))
            leave(s, i, GPT2_CANCELLED);
        else if (!r->kv.data && !new_cache(s, most, &r->kv))
            leave(s, i, GPT2_FAILED);
    }
}

static void *run(void *argument) {
    gpt2_scheduler *s = argument;
    while (admit(s)) {
        clear(s);
        if (s->n_live == 0) continue;
        fill_batch(s);
        gpt2_pool_run(s->pool, s->n_rows, step, s);
        pthread_mutex_lock(&s->lock);
        s->stats.computed += s->n_rows;
        s->stats.shared += s->n_shared;
        pthread_mutex_unlock(&s->lock);
        int64_t now = gpt2_now_us(), pause = (int64_t)s->n_live * WAKE_US;
        pause = pause < SHORTEST_WAKE_US ? SHORTEST_WAKE_US : pause;
        pause = pause > LONGEST_WAKE_US ? LONGEST_WAKE_US : pause;
        for (int32_t i = s->n_live - 1, j = s->n_sampled - 1; i >= 0 && j >= 0; i--) {
            if (s->live[i] != s->sampled[j]) continue; /* still reading its prompt */
            gpt2_finish finish = deliver(s->sampled[j], s->drawn[j], now, pause);
            if (finish != GPT2_RUNNING) leave(s, i, finish);
            j--;
        }
    }
    while (s->n_live > 0) leave(s, s->n_live - 1, GPT2_CANCELLED);
    return NULL;
}

/* ---- The owner's side --------------------------------------------------------------------- */

static void free_scheduler(gpt2_scheduler *s) {
    forget(s, s->n_kept);
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

gpt2_scheduler *gpt2_scheduler_start(const gpt2_model *model, int32_t n_threads, int32_t max_batch,
                                     int64_t kept_bytes) {
    gpt2_scheduler *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    size_t batch = (size_t)max_batch;
    s->m = model;
    s->max_batch = max_batch;
    /* Texts that slide read a token for each that they draw: enough for all, lest the youngest
     * starve. */
    s->prefill_rows = max_batch > PREFILL_ROWS ? max_batch : PREFILL_ROWS;
    s->max_kept_bytes = kept_bytes;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->live = calloc(batch, sizeof *s->live);
    s->rows = calloc(batch + (size_t)s->prefill_rows, sizeof *s->rows);
    s->sampled = calloc(batch, sizeof *s->sampled);
    s->drawn = calloc(batch, sizeof *s->drawn);
    s->pool = gpt2_pool_new(n_threads);
    if (s->pool)
        s->scratch =
            malloc((size_t)gpt2_pool_threads(s->pool) * (size_t)gpt2_sample_scratch(model));
    if (!s->live || !s->rows || !s->sampled || !s->drawn || !s->scratch ||
        gpt2_workspace_new(model, s->pool, max_batch + s->prefill_rows, max_batch, &s->ws) !=
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

void gpt2_scheduler_stats(gpt2_scheduler *s, gpt2_stats *stats) {
    pthread_mutex_lock(&s->lock);
    *stats = s->stats;
    pthread_mutex_unlock(&s->lock);
}

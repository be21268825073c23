/* Drawing a token: repetition penalty (Keskar et al., 2019) as in Hugging Face's transformers, then
 * temperature, top-k, top-p (Holtzman et al., 2020), with gpt-2-simple's meaning: top-k keeps every
 * token that is as likely as the k-th; top-p keeps the most likely tokens until what stands before
 * them reaches p. Where both are given, top-p applies to what top-k kept.
 * The vocabulary is never sorted: what could be among the k likeliest is found in one pass. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "numeric.h"

/* SplitMix64's finaliser (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, 1): a function of seed and counter alone, so that a text can be replayed. */
static double uniform(uint32_t seed, uint32_t counter) {
    uint64_t stream = mix((uint64_t)seed + 0x9e3779b97f4a7c15u);
    return (double)(mix(stream + counter * 0x9e3779b97f4a7c15u) >> 11) * 0x1p-53;
}

/* What drawing from one row of logits needs besides them. */
typedef struct {
    double *sums;   /* [BUCKETS or blocks, whichever is more]: of weights */
    float *weights; /* [n_vocab] */
    float *values;  /* [n_vocab], to be sorted */
    float *cells;   /* [blocks][16]: the largest logits, see gpt2_kernels.cell_maxima */
    int32_t *ids;   /* [n_vocab] */
} workspace;

/* Positive floats order as their bits do: the upper half of 1.0's, and one more. */
enum { BUCKETS = 0x3f80 + 1 };

static int32_t blocks_of(int32_t n) { return (n + CELLS - 1) / CELLS; }

static int32_t n_sums(int32_t n) { return blocks_of(n) > BUCKETS ? blocks_of(n) : BUCKETS; }

int64_t gpt2_sample_scratch(const gpt2_model *model) {
    int64_t n = model->hp.n_vocab, blocks = blocks_of(model->hp.n_vocab);
    int64_t bytes = n_sums(model->hp.n_vocab) * 8 + (3 * n + blocks * GROUP) * 4;
    return (bytes + 63) / 64 * 64;
}

static workspace carve(const gpt2_model *model, void *scratch) {
    int32_t n = model->hp.n_vocab;
    workspace w = {.sums = scratch};
    w.weights = (float *)(void *)(w.sums + n_sums(n));
    w.values = w.weights + n;
    w.cells = w.values + n;
    w.ids = (int32_t *)(void *)(w.cells + blocks_of(n) * GROUP);
    return w;
}

/* ---- The repetition penalty --------------------------------------------------------------- */

/* Changes the logits of the window's tokens, each once however often the token occurs: all are read
 * before one is written. */
static void penalize(float *logits, float penalty, const int32_t *window, int32_t n,
                     int32_t stop_token, const workspace *w) {
    for (int32_t i = 0; i < n; i++) {
        float x = logits[window[i]];
        w->values[window[i]] = x > 0 ? x / penalty : x * penalty;
    }
    for (int32_t i = 0; i < n; i++)
        if (window[i] != stop_token) logits[window[i]] = w->values[window[i]];
}

/* ---- Which tokens are kept ---------------------------------------------------------------- */

static void sift_down(float *heap, int32_t n, int32_t i) {
    float x = heap[i];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (!(heap[child] < x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* The k-th largest of x [n], 1 <= k <= n, by a heap [k] of the largest so far. */
static float kth_largest(const float *x, int32_t n, int32_t k, float *heap) {
    memcpy(heap, x, (size_t)k * sizeof *heap);
    for (int32_t i = k / 2 - 1; i >= 0; i--) sift_down(heap, k, i);
    for (int32_t i = k; i < n; i++)
        if (x[i] > heap[0]) {
            heap[0] = x[i];
            sift_down(heap, k, 0);
        }
    return heap[0];
}

/* Into ids, the tokens whose logits are `least` or more. Cells below it are passed over. */
static int32_t at_least(const float *logits, int32_t n, float least, const workspace *w) {
    int32_t found = 0;
    for (int32_t c = 0; c < blocks_of(n) * GROUP; c++) {
        if (!(w->cells[c] >= least)) continue;
        int32_t from = c / GROUP * CELLS + c % GROUP;
        for (int32_t i = from; i < from + CELLS && i < n; i += GROUP)
            if (logits[i] >= least) w->ids[found++] = i;
    }
    return found;
}

/* The first of the likeliest tokens; 0 where all logits are NaN. */
static int32_t likeliest(const float *logits, int32_t n, const workspace *w) {
    float most = kth_largest(w->cells, blocks_of(n) * GROUP, 1, w->values);
    int32_t found = at_least(logits, n, most, w), first = found > 0 ? w->ids[0] : 0;
    for (int32_t i = 1; i < found; i++) first = w->ids[i] < first ? w->ids[i] : first;
    return first;
}

/* Into ids, the k likeliest tokens and those as likely as the k-th, in a fixed order. At least k
 * cells have a maximum as large as the k-th largest maximum, so no token below it is among them. */
static int32_t keep_top_k(const float *logits, int32_t n, int32_t k, const workspace *w) {
    int32_t n_cells = blocks_of(n) * GROUP;
    float least = k <= n_cells ? kth_largest(w->cells, n_cells, k, w->values) : -INFINITY;
    int32_t found = at_least(logits, n, least, w), kept = 0;
    if (found <= k) return found;
    for (int32_t i = 0; i < found; i++) w->weights[i] = logits[w->ids[i]];
    least = kth_largest(w->weights, found, k, w->values);
    for (int32_t i = 0; i < found; i++)
        if (logits[w->ids[i]] >= least) w->ids[kept++] = w->ids[i];
    return kept;
}

/* Sorts from large to small: Shell's sort with Ciura's gaps, continued. */
static void sort_falling(float *x, int32_t n) {
    static const int32_t gaps[] = {1, 4, 10, 23, 57, 132, 301, 701, 1577, 3548, 7983, 17961, 40412};
    for (int g = (int)(sizeof gaps / sizeof *gaps) - 1; g >= 0; g--)
        for (int32_t i = gaps[g]; i < n; i++) {
            float value = x[i];
            int32_t j = i;
            for (; j >= gaps[g] && x[j - gaps[g]] < value; j -= gaps[g]) x[j] = x[j - gaps[g]];
            x[j] = value;
        }
}

static uint32_t bucket_of(float weight) {
    uint32_t b = float_bits(weight) >> 16;
    return b < BUCKETS ? b : BUCKETS - 1;
}

/* The smallest of the largest weights that reach `limit` together. Only the weights of the bucket
 * in which it lies are sorted. */
static float least_of_nucleus(const float *weights, int32_t n, double limit, const workspace *w) {
    memset(w->sums, 0, BUCKETS * sizeof *w->sums);
    for (int32_t i = 0; i < n; i++) w->sums[bucket_of(weights[i])] += weights[i];
    uint32_t b = BUCKETS - 1;
    double sum = 0;
    for (; b > 0 && sum + w->sums[b] < limit; b--) sum += w->sums[b];
    int32_t found = 0, i = 0;
    for (int32_t j = 0; j < n; j++)
        if (bucket_of(weights[j]) == b) w->values[found++] = weights[j];
    if (found == 0) return 0; /* all of them do not reach it */
    sort_falling(w->values, found);
    while ((sum += w->values[i]) < limit && i < found - 1) i++;
    return w->values[i];
}

/* ---- Drawing ------------------------------------------------------------------------------ */

/* Sums each CELLS weights, and returns the sum of all. */
static double sum_blocks(const float *weights, int32_t n, double *sums) {
    double total = 0;
    for (int32_t i = 0; i < n; i += CELLS) {
        double part[4] = {0}; /* independent, so that additions overlap */
        int32_t m = n - i < CELLS ? n - i : CELLS;
        for (int32_t j = 0; j < m; j++) part[j % 4] += weights[i + j];
        total += sums[i / CELLS] = (part[0] + part[1]) + (part[2] + part[3]);
    }
    return total;
}

/* The first of n weights at which their running sum passes `goal`. */
static int32_t draw(const float *weights, int32_t n, double goal) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += weights[i];
        if (sum > goal) return i;
    }
    return n - 1;
}

/* The same over the whole vocabulary, from the block in which it happens. */
static int32_t draw_from_all(const float *weights, int32_t n, const double *sums, double goal) {
    int32_t b = 0;
    for (; b < blocks_of(n) - 1 && sums[b] <= goal; b++) goal -= sums[b];
    int32_t from = b * CELLS, rest = n - from;
    return from + draw(weights + from, rest < CELLS ? rest : CELLS, goal);
}

static double total(const float *weights, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += weights[i];
    return sum;
}

int32_t gpt2_sample(const gpt2_model *model, float *logits, const gpt2_sampling *how,
                    const int32_t *window, int32_t n_window, int32_t stop_token, uint32_t counter,
                    void *scratch) {
    const workspace w = carve(model, scratch);
    const float t = how->temperature, penalty = how->repetition_penalty;
    const int by_k = how->top_k > 0 && how->top_k < model->hp.n_vocab;
    const int by_p = how->top_p > 0 && how->top_p < 1;
    int32_t n = model->hp.n_vocab;

    if (penalty != 1) penalize(logits, penalty, window, n_window, stop_token, &w);
    model->kernels->cell_maxima(logits, n, w.cells);
    const int32_t first = likeliest(logits, n, &w);
    const float most = logits[first] / t;
    /* Greedy; also where the temperature is so small that the division overflows. */
    if (!(t > 0) || !isfinite(most)) return first;
    const double u = uniform(how->seed, counter);

    if (by_k) n = keep_top_k(logits, n, how->top_k, &w);
    for (int32_t i = 0; i < n; i++) {
        float x = logits[by_k ? w.ids[i] : i] / t;
        w.weights[i] = x == x ? x : -INFINITY; /* not NaN */
    }
    model->kernels->exp_shifted(w.weights, n, most, w.weights);
    if (!by_k && !by_p) {
        double mass = sum_blocks(w.weights, n, w.sums);
        return draw_from_all(w.weights, n, w.sums, u * mass);
    }
    if (by_p) {
        float least = least_of_nucleus(w.weights, n, how->top_p * total(w.weights, n), &w);
        int32_t kept = 0;
        for (int32_t i = 0; i < n; i++)
            if (w.weights[i] >= least) {
                w.ids[kept] = by_k ? w.ids[i] : i;
                w.weights[kept++] = w.weights[i];
            }
        n = kept;
    }
    return w.ids[draw(w.weights, n, u * total(w.weights, n))];
}

/* Drawing a token: temperature, top-k, top-p (Holtzman et al., 2020), with gpt-2-simple's meaning:
 * top-k keeps every token that is as likely as the k-th; top-p keeps the most likely tokens until
 * what stands before them reaches p. Where both are given, top-p applies to what top-k kept.
 * The vocabulary is never sorted: what could be among the k likeliest is found in one pass. */
#include <math.h>

#include "kernels.h"

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

/* ---- The k largest ------------------------------------------------------------------------ */

static void sift_down(float *heap, int32_t n, int32_t i) {
    float x = heap[i];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (!(heap[child] < x)) break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

/* The k-th largest of x [n], 1 <= k <= n, by a heap of the k largest so far. */
static float kth_largest(const float *x, int32_t n, int32_t k, float *heap) {
    for (int32_t i = 0; i < k; i++) heap[i] = x[i];
    for (int32_t i = k / 2 - 1; i >= 0; i--) sift_down(heap, k, i);
    for (int32_t i = k; i < n; i++)
        if (x[i] > heap[0]) {
            heap[0] = x[i];
            sift_down(heap, k, 0);
        }
    return heap[0];
}

static int before(const float *x, int32_t a, int32_t b) {
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

/* Sorts ids by falling x, equals by id: Shell's sort with Ciura's gaps, continued. */
static void sort_ids(const float *x, int32_t *ids, int32_t n) {
    static const int32_t gaps[] = {1, 4, 10, 23, 57, 132, 301, 701, 1577, 3548, 7983, 17961, 40412};
    for (int g = (int)(sizeof gaps / sizeof *gaps) - 1; g >= 0; g--)
        for (int32_t i = gaps[g]; i < n; i++) {
            int32_t id = ids[i], j = i;
            for (; j >= gaps[g] && before(x, id, ids[j - gaps[g]]); j -= gaps[g])
                ids[j] = ids[j - gaps[g]];
            ids[j] = id;
        }
}

/* What drawing from one row of logits needs besides them. */
typedef struct {
    double *sums;   /* [blocks]: of CELLS weights each */
    float *weights; /* [n_vocab] */
    float *heap;    /* [blocks][16] */
    float *cells;   /* [blocks][16] */
    int32_t *ids;   /* [n_vocab] */
} workspace;

static int32_t blocks_of(int32_t n) { return (n + CELLS - 1) / CELLS; }

int64_t gpt2_sample_scratch(const gpt2_model *model) {
    int64_t n = model->hp.n_vocab, blocks = blocks_of(model->hp.n_vocab);
    int64_t bytes = blocks * 8 + n * 4 + 2 * blocks * GROUP * 4 + n * 4;
    return (bytes + 63) / 64 * 64;
}

static workspace carve(const gpt2_model *model, void *scratch) {
    int32_t n = model->hp.n_vocab, blocks = blocks_of(n);
    workspace w = {.sums = scratch};
    w.weights = (float *)(void *)(w.sums + blocks);
    w.heap = w.weights + n;
    w.cells = w.heap + blocks * GROUP;
    w.ids = (int32_t *)(void *)(w.cells + blocks * GROUP);
    return w;
}

/* The k likeliest of n tokens and those as likely as the k-th into w->ids, likeliest first. At
 * least k cells have a maximum as large as the k-th largest maximum, so no token below that one is
 * among the k likeliest. */
static int32_t likeliest(const float *logits, int32_t n, int32_t k, const workspace *w) {
    int32_t n_cells = blocks_of(n) * GROUP, found = 0;
    float least = k <= n_cells ? kth_largest(w->cells, n_cells, k, w->heap) : -INFINITY;
    for (int32_t c = 0; c < n_cells; c++) {
        if (!(w->cells[c] >= least)) continue;
        int32_t from = c / GROUP * CELLS + c % GROUP;
        for (int32_t i = from; i < from + CELLS && i < n; i += GROUP)
            if (logits[i] >= least) w->ids[found++] = i;
    }
    if (found == 0) w->ids[found++] = 0; /* only where all are NaN */
    sort_ids(logits, w->ids, found);
    int32_t kept = k < found ? k : found;
    while (kept < found && logits[w->ids[kept]] == logits[w->ids[kept - 1]]) kept++;
    return kept;
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

/* How many weights, from the largest on, it takes until they reach `limit`, with those that equal
 * the last; n + 1 if all of them do not. */
static int32_t nucleus(const float *weights, int32_t n, double limit) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += weights[i];
        if (sum < limit) continue;
        while (++i < n && weights[i] == weights[i - 1]) {
        }
        return i;
    }
    return n + 1;
}

static double total(const float *weights, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += weights[i];
    return sum;
}

int32_t gpt2_sample(const gpt2_model *model, const float *logits, const gpt2_sampling *how,
                    uint32_t counter, void *scratch) {
    const gpt2_kernels *kernels = model->kernels;
    const workspace w = carve(model, scratch);
    const float t = how->temperature;
    const int by_k = how->top_k > 0 && how->top_k < model->hp.n_vocab;
    const int by_p = how->top_p > 0 && how->top_p < 1;
    int32_t n = model->hp.n_vocab, kept;

    kernels->cell_maxima(logits, n, w.cells);
    likeliest(logits, n, 1, &w);
    const float most = logits[w.ids[0]];
    /* Greedy; also where the temperature is so small that the division overflows. */
    if (!(t > 0) || !isfinite(most / t)) return w.ids[0];
    const double u = uniform(how->seed, counter);

    double mass = 0;
    if (!by_k) { /* of all tokens */
        for (int32_t i = 0; i < n; i++) w.weights[i] = logits[i] / t;
        kernels->exp_shifted(w.weights, n, most / t, w.weights);
        mass = sum_blocks(w.weights, n, w.sums);
        if (!by_p) return draw_from_all(w.weights, n, w.sums, u * mass);
    }
    /* Top-p alone looks among more and more of the likeliest until they weigh enough. */
    for (int32_t k = by_k ? how->top_k : 64;; k = k < n / 8 ? 8 * k : n) {
        kept = likeliest(logits, n, k, &w);
        for (int32_t i = 0; i < kept; i++) w.weights[i] = logits[w.ids[i]] / t;
        kernels->exp_shifted(w.weights, kept, most / t, w.weights);
        if (!by_p) break;
        int32_t reached =
            nucleus(w.weights, kept, how->top_p * (by_k ? total(w.weights, kept) : mass));
        if (reached <= kept || by_k || kept == n) {
            kept = reached < kept ? reached : kept;
            break;
        }
    }
    return w.ids[draw(w.weights, kept, u * total(w.weights, kept))];
}

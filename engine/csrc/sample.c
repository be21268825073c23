/* Drawing a token: temperature, top-k, top-p (Holtzman et al., 2020), with gpt-2-simple's meaning:
 * top-k keeps every token that is as likely as the k-th; top-p keeps the most likely tokens until
 * what stands before them reaches p. Where both are given, top-p applies to what top-k kept. */
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

static int32_t argmax(const float *x, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static double total(const float *weights, const int32_t *ids, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += weights[ids[i]];
    return sum;
}

/* The first of n tokens at which the running sum of weights passes u times their total. */
static int32_t draw(const float *weights, const int32_t *ids, int32_t n, double u) {
    double sum = 0, goal = u * total(weights, ids, n);
    for (int32_t i = 0; i < n; i++) {
        sum += weights[ids[i]];
        if (sum > goal) return ids[i];
    }
    return ids[n - 1];
}

/* Heap of token ids, the likeliest (then the smallest id) on top. */
static int before(const float *weights, int32_t a, int32_t b) {
    return weights[a] > weights[b] || (weights[a] == weights[b] && a < b);
}

static void sift_down(const float *weights, int32_t *heap, int32_t n, int32_t i) {
    int32_t id = heap[i];
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(weights, heap[child + 1], heap[child])) child++;
        if (!before(weights, heap[child], id)) break;
        heap[i] = heap[child];
    }
    heap[i] = id;
}

/* Moves the likeliest of ids [n] to its end: `count` of them, or fewer that weigh `limit`, and
 * those that weigh as much as the last. Returns how many. Only these are ever sorted. */
static int32_t keep_likeliest(const float *weights, int32_t *ids, int32_t n, int32_t count,
                              double limit) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(weights, ids, n, i);
    int32_t kept = 0;
    double passed = 0;
    float last = -1;
    while (kept < n) {
        float w = weights[ids[0]];
        if ((kept >= count || passed >= limit) && w != last) break;
        passed += w;
        last = w;
        int32_t top = ids[0], left = n - kept - 1;
        ids[0] = ids[left];
        ids[left] = top;
        sift_down(weights, ids, left, 0);
        kept++;
    }
    return kept;
}

int32_t gpt2_sample(const gpt2_model *model, const float *logits, const gpt2_sampling *how,
                    uint32_t counter, float *scratch) {
    int32_t n = model->hp.n_vocab, likeliest = argmax(logits, n);
    /* Also where the temperature is so small that the division overflows. */
    if (!(how->temperature > 0) || !isfinite(logits[likeliest] / how->temperature))
        return likeliest;
    float *weights = scratch;
    int32_t *ids = (int32_t *)(void *)(scratch + n);
    for (int32_t i = 0; i < n; i++) {
        weights[i] = logits[i] / how->temperature;
        ids[i] = i;
    }
    model->kernels->exp_shifted(weights, n, weights[likeliest], weights);
    if (how->top_k > 0 && how->top_k < n) {
        int32_t kept = keep_likeliest(weights, ids, n, how->top_k, INFINITY);
        ids += n - kept;
        n = kept;
    }
    if (how->top_p > 0 && how->top_p < 1) {
        int32_t kept = keep_likeliest(weights, ids, n, n, how->top_p * total(weights, ids, n));
        ids += n - kept;
        n = kept;
    }
    return draw(weights, ids, n, uniform(how->seed, counter));
}

/* What the machine can do at most, for the fraction of it that an engine reaches.
 *
 *     limits THREADS BYTES
 *
 * prints, as JSON, the best of several tries with all threads together:
 *   read    GB/s of reading BYTES bytes (a model's weights) over and over, each thread its part
 *   vnni    int8 GMAC/s of VPDPBUSD on 64-byte registers (absent where the processor has none)
 *   avx2    int8 GMAC/s of VPMADDUBSW, VPMADDWD, VPADDD on 32-byte registers (likewise)
 */
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRIES 7
#define CHAINS 8          /* independent sums, enough to hide the latency */
#define STEPS (1 << 19)   /* of each chain: some milliseconds */
#define READ_AT_LEAST 5e7 /* bytes a try and thread */

typedef struct {
    const uint8_t *data;
    size_t size;   /* bytes, a multiple of 256 */
    size_t rounds; /* over the data */
    uint64_t sink; /* keeps the compiler from dropping the work */
} task;

static void *read_memory(void *argument) {
    task *t = argument;
    __m256i sum[4] = {0};
    for (size_t round = 0; round < t->rounds; round++)
        for (size_t i = 0; i < t->size; i += 128)
            for (int k = 0; k < 4; k++)
                sum[k] = _mm256_xor_si256(
                    sum[k], _mm256_loadu_si256((const __m256i *)(t->data + i + 32 * k)));
    for (int k = 0; k < 4; k++) t->sink += (uint64_t)_mm256_extract_epi64(sum[k], 0);
    return NULL;
}

/* The empty asm makes the operand unknown each time, or equal chains would be computed once. */

#if defined(__AVX512VNNI__)
static void *vnni(void *argument) {
    task *t = argument;
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5), sum[CHAINS] = {0};
    for (int i = 0; i < STEPS; i++) {
        for (int k = 0; k < CHAINS; k++) {
            __asm__ volatile("" : "+v"(a));
            sum[k] = _mm512_dpbusd_epi32(sum[k], a, b);
        }
    }
    for (int k = 0; k < CHAINS; k++) t->sink += (uint64_t)_mm512_reduce_add_epi32(sum[k]);
    return NULL;
}
#endif

static void *avx2(void *argument) {
    task *t = argument;
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), one = _mm256_set1_epi16(1);
    __m256i sum[CHAINS] = {0};
    for (int i = 0; i < STEPS; i++) {
        for (int k = 0; k < CHAINS; k++) {
            __asm__ volatile("" : "+x"(a));
            __m256i pairs = _mm256_maddubs_epi16(a, b);
            sum[k] = _mm256_add_epi32(sum[k], _mm256_madd_epi16(pairs, one));
        }
    }
    for (int k = 0; k < CHAINS; k++) t->sink += (uint64_t)_mm256_extract_epi64(sum[k], 0);
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of the fastest try of `work` in each of n threads. */
static double fastest(void *(*work)(void *), task *tasks, int n) {
    double best = 1e30;
    pthread_t threads[64];
    for (int try = 0; try < TRIES; try++) {
        double start = now();
        for (int i = 1; i < n; i++)
            if (pthread_create(&threads[i], NULL, work, &tasks[i]) != 0) exit(1);
        work(&tasks[0]);
        for (int i = 1; i < n; i++) pthread_join(threads[i], NULL);
        double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    return best;
}

int main(int argc, char **argv) {
    int n = argc == 3 ? atoi(argv[1]) : 0;
    size_t bytes = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (n < 1 || n > 64 || bytes < 256u * 64) {
        fprintf(stderr, "usage: limits THREADS BYTES\n");
        return 2;
    }
    size_t part = bytes / (size_t)n / 256 * 256;
    uint8_t *data = aligned_alloc(256, part * (size_t)n);
    if (!data) return 1;
    memset(data, 1, part * (size_t)n);
    task tasks[64] = {0};
    for (int i = 0; i < n; i++) {
        tasks[i].data = data + part * (size_t)i;
        tasks[i].size = part;
        tasks[i].rounds = 1 + (size_t)(READ_AT_LEAST / (double)part);
    }
    double read = (double)(part * tasks[0].rounds) * n / fastest(read_memory, tasks, n);
    double steps = (double)STEPS * CHAINS * n;
    printf("{\"read\": %.2f", read / 1e9);
#if defined(__AVX512VNNI__)
    printf(", \"vnni\": %.1f", steps * 64 / fastest(vnni, tasks, n) / 1e9);
#endif
    printf(", \"avx2\": %.1f}\n", steps * 32 / fastest(avx2, tasks, n) / 1e9);
    free(data);
    return 0;
}

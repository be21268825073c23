/* Runs the whole C library on random numbers, to be compiled with sanitizers.
 * Prints a checksum of everything that came out; it is the same however it was compiled. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../engine/csrc/gpt2.h"

static uint64_t state = 88172645463325252u; /* xorshift64 */

static uint32_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static void require(int truth, const char *what) {
    if (truth) return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static gpt2_model *random_model(const gpt2_hparams *hp, int32_t type, uint8_t **packed) {
    int64_t size = gpt2_packed_size(hp, type);
    int32_t widest = hp->n_embd * 4 * hp->n_embd;
    if (hp->n_vocab * hp->n_embd > widest) widest = hp->n_vocab * hp->n_embd;
    float *tensor = malloc((size_t)widest * sizeof *tensor);
    *packed = aligned_alloc(64, (size_t)size);
    memset(*packed, 0, (size_t)size);
    for (int32_t i = 0; i < gpt2_n_tensors(hp); i++) {
        for (int32_t j = 0; j < widest; j++) tensor[j] = (float)(next_random() % 2001) / 1000 - 1;
        require(gpt2_all_finite(tensor, widest), "finite");
        require(gpt2_pack_tensor(hp, type, i, tensor, *packed) == GPT2_OK, "pack");
    }
    free(tensor);
    gpt2_model *model = NULL;
    require(gpt2_model_open(*packed, size, &model) == GPT2_EFORMAT, "no header yet");
    require(gpt2_pack_header(hp, type, *packed) == GPT2_OK, "header");
    require(gpt2_model_open(*packed, size - 1, &model) == GPT2_EFORMAT, "cut short");
    require(gpt2_model_open(*packed, size, &model) == GPT2_OK, "open");
    return model;
}

typedef struct {
    gpt2_request *request;
    uint32_t sum;
    int32_t finish;
} reader;

static void *read_all(void *argument) {
    reader *r = argument;
    int32_t seen = 0, n, out[8];
    do {
        n = gpt2_read(r->request, seen, out, 8, 10000, &r->finish);
        for (int32_t i = 0; i < n; i++) r->sum = r->sum * 31 + (uint32_t)out[i];
        seen += n;
    } while (r->finish == GPT2_RUNNING);
    return NULL;
}

static uint32_t generate(const gpt2_model *model, int32_t n_vocab, int32_t n_threads) {
    enum { N = 12 };
    gpt2_scheduler *s = gpt2_scheduler_start(model, n_threads, 5, 1 << 17);
    require(s != NULL, "start");
    reader readers[N] = {0};
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        int32_t prompt[70], n = i % 3 ? 1 + i : 70;
        for (int32_t j = 0; j < n; j++) prompt[j] = (i * 37 + j * 11) % n_vocab;
        gpt2_sampling how = {.temperature = i % 4 ? 1.0f : 0,
                             .top_p = i % 5 ? 0 : 0.9f,
                             .repetition_penalty = i % 2 ? 1.5f : 1,
                             .top_k = i % 2 ? 0 : 9,
                             .seed = (uint32_t)i};
        int32_t length = i == 5 ? 150 : 20; /* beyond the context window */
        readers[i].request = gpt2_submit(s, prompt, n, length, &how, -1);
        gpt2_request *left = gpt2_submit(s, prompt, n, 20, &how, -1);
        if (i % 2) gpt2_cancel(left);
        gpt2_release(left);
        require(pthread_create(&threads[i], NULL, read_all, &readers[i]) == 0, "thread");
    }
    uint32_t sum = 0;
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        require(readers[i].finish == GPT2_LENGTH, "length");
        sum = sum * 17 + readers[i].sum;
    }
    gpt2_sampling how = {.temperature = 1, .repetition_penalty = 1, .seed = 1};
    gpt2_request *last = gpt2_submit(s, &(int32_t){1}, 1, 100, &how, -1);
    gpt2_scheduler_stop(s); /* with a request under way */
    for (int i = 0; i < N; i++) gpt2_release(readers[i].request);
    reader end = {.request = last};
    read_all(&end);
    require(end.finish == GPT2_CANCELLED || end.finish == GPT2_LENGTH, "stopped");
    gpt2_release(last);
    return sum;
}

/* Draws from logits that hold NaN and infinities, in every way. */
static uint32_t draw(const gpt2_model *model, int32_t n_vocab) {
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    void *scratch = aligned_alloc(64, (size_t)gpt2_sample_scratch(model));
    uint32_t sum = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        for (int32_t i = 0; i < n_vocab; i++)
            logits[i] = round % 5 == 0 || next_random() % 4 == 0 ? 0.0f / 0.0f * (float)(i % 3)
                        : next_random() % 50 == 0 && round % 3 == 0
                            ? 1e38f * 1e38f * (round % 2 ? 1 : -1)
                            : (float)(next_random() % 2001) / 200 - 5;
        int32_t window[100]; /* tokens that occur more than once, and some that do not */
        for (int32_t i = 0; i < 100; i++) window[i] = (int32_t)(next_random() % (uint32_t)n_vocab);
        gpt2_sampling how = {.temperature = (float)(round % 4) * 0.7f,
                             .top_p = (float)(round / 4 % 3) * 0.45f,
                             .repetition_penalty = 0.5f + (float)(round / 48 % 4) * 0.5f,
                             .top_k = (int32_t)(round / 12 % 4) * 30,
                             .seed = round};
        int32_t token = gpt2_sample(model, logits, &how, window, (int32_t)(round % 101), window[0],
                                    round, scratch);
        require(token >= 0 && token < n_vocab, "a token");
        sum = sum * 31 + (uint32_t)token;
    }
    free(scratch);
    free(logits);
    return sum;
}

static uint32_t tokenize(void) {
    int32_t byte_ids[256], left[60], right[60], result[60], out[400];
    for (int i = 0; i < 256; i++) byte_ids[i] = i;
    for (int i = 0; i < 60; i++) {
        left[i] = i < 20 ? 'a' + i % 5 : 256 + i % 20;
        right[i] = 'a' + i % 7;
        result[i] = 256 + i;
    }
    gpt2_tokenizer *t = gpt2_tokenizer_new(byte_ids, left, right, result, 60);
    require(t != NULL, "tokenizer");
    uint32_t sum = 0;
    for (int round = 0; round < 3000; round++) {
        uint8_t text[400];
        int32_t n = (int32_t)(next_random() % 400);
        for (int32_t i = 0; i < n; i++) /* letters, and bytes that are no UTF-8 */
            text[i] = (uint8_t)(next_random() % 4 ? 'a' + next_random() % 6 : next_random());
        uint8_t *exact = malloc((size_t)n + 1); /* so that reading beyond the end is seen */
        memcpy(exact, text, (size_t)n);
        uint8_t *tight = n ? realloc(exact, (size_t)n) : exact;
        int64_t count = gpt2_encode(t, tight, n, out);
        require(count >= 0 && count <= n, "count");
        for (int64_t i = 0; i < count; i++) sum = sum * 31 + (uint32_t)out[i];
        free(tight);
    }
    gpt2_tokenizer_free(t);
    return sum;
}

/* Floats through each of GGUF's types that are written, and any bytes as each that is read. */
static uint32_t convert(void) {
    static const int32_t types[] = {GGML_F32, GGML_F16, GGML_BF16, GGML_Q8_0, GGML_Q4_0, GGML_Q6_K};
    enum { N = 512 };
    float values[N], back[N];
    uint8_t stored[N * sizeof(float)];
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (int j = 0; j < N; j++) values[j] = (float)(next_random() % 2001) / 1000 - 1;
        for (size_t j = 0; j < sizeof stored; j++) stored[j] = (uint8_t)next_random();
        int written = types[i] == GGML_F32 || types[i] == GGML_F16 || types[i] == GGML_Q8_0;
        require(
            gpt2_ggml_from_f32(types[i], values, N, stored) == (written ? GPT2_OK : GPT2_EFORMAT),
            "written");
        require(gpt2_ggml_to_f32(types[i], stored, N, back) == GPT2_OK, "read");
        gpt2_transpose(back, 7, 73, values);
        for (int j = 0; j < 7 * 73; j++) {
            uint32_t bits;
            memcpy(&bits, values + j, sizeof bits);
            /* Which NaN an operation makes depends on the processor. */
            sum = sum * 31 + ((bits & 0x7fffffff) > 0x7f800000 ? 0 : bits);
        }
    }
    return sum;
}

int main(void) {
    /* Heads of 8 and of 48: one block of inputs and more, and groups of 16 that come in no pairs.
     */
    static const gpt2_hparams shapes[] = {
        {.n_vocab = 75, .n_ctx = 128, .n_embd = 40, .n_head = 5, .n_layer = 2},
        {.n_vocab = 75, .n_ctx = 100, .n_embd = 96, .n_head = 2, .n_layer = 1},
    };
    uint32_t sum = tokenize() * 17 + convert();
    for (int i = 0; i < 4; i++) {
        const gpt2_hparams *hp = &shapes[i / 2];
        uint8_t *packed;
        gpt2_model *model = random_model(hp, i % 2 ? GPT2_Q8_0 : GPT2_F32, &packed);
        uint32_t one = generate(model, hp->n_vocab, 1), three = generate(model, hp->n_vocab, 3);
        require(one == three, "threads change nothing");
        sum = sum * 13 + one + draw(model, hp->n_vocab);
        gpt2_model_close(model);
        free(packed);
    }
    gpt2_hparams impossible = {.n_vocab = 1, .n_ctx = 1, .n_embd = 3, .n_head = 2, .n_layer = 1};
    require(gpt2_packed_size(&impossible, GPT2_Q8_0) == 0, "3 is no multiple of 2");
    printf("%u\n", sum);
    return 0;
}

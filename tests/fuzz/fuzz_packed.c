/* Packed models of any bytes: opened or refused; what opens generates, whatever its weights are,
 * and with every kernel the same logits.
 *
 * Input: a packed model, tried as it is; then a header over small hyperparameters is put before it
 * (5 bytes and a type) and the rest repeated up to the size that they ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../engine/csrc/gpt2.h"

enum { LENGTH = 6, MAX_SIZE = 1 << 20 };

static void require(int truth, const char *what) {
    if (truth) return;
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

static gpt2_model *open_with(const char *kernel, const uint8_t *packed, int64_t size) {
    gpt2_model *model = NULL;
    setenv("GPT2_KERNEL", kernel, 1);
    return gpt2_model_open(packed, size, &model) == GPT2_OK ? model : NULL;
}

static void generate(const gpt2_model *model, const gpt2_hparams *hp, const gpt2_sampling *how) {
    gpt2_scheduler *s = gpt2_scheduler_start(model, 1, 2, 1 << 16);
    require(s != NULL, "scheduler");
    int32_t prompt = hp->n_vocab - 1, tokens[LENGTH], finish = GPT2_RUNNING, n = 0;
    gpt2_request *r = gpt2_submit(s, &prompt, 1, LENGTH, how, -1);
    require(r != NULL, "request");
    while (finish == GPT2_RUNNING) n += gpt2_read(r, n, tokens + n, LENGTH - n, 1000, &finish);
    require(finish == GPT2_LENGTH && n == LENGTH, "generated");
    for (int32_t i = 0; i < n; i++)
        require(tokens[i] >= 0 && tokens[i] < hp->n_vocab, "tokens of the vocabulary");
    gpt2_release(r);
    gpt2_scheduler_stop(s);
}

/* Of every position of a window, or NULL where they are not finite. */
static float *logits_with(const char *kernel, const uint8_t *packed, int64_t size,
                          const gpt2_hparams *hp, size_t n) {
    int32_t tokens[64];
    for (int32_t i = 0; i < hp->n_ctx; i++) tokens[i] = i * 5 % hp->n_vocab;
    float *logits = malloc(n * sizeof *logits);
    gpt2_model *model = open_with(kernel, packed, size);
    require(model && logits, "opened again");
    require(gpt2_logits(model, tokens, hp->n_ctx, 1, logits) == GPT2_OK, "logits");
    gpt2_model_close(model);
    if (gpt2_all_finite(logits, (int64_t)n)) return logits;
    free(logits);
    return NULL;
}

static void compute(const uint8_t *packed, int64_t size, const gpt2_hparams *hp,
                    const gpt2_sampling *how) {
    gpt2_model *model = open_with("", packed, size);
    require(model != NULL, "opened");
    generate(model, hp, how);
    gpt2_model_close(model);
    size_t n = (size_t)hp->n_ctx * (size_t)hp->n_vocab;
    float *expected = logits_with("portable", packed, size, hp, n);
    static const char *const kernels[] = {"avx2", "avx512"};
    for (int i = 0; i < 2; i++) {
        float *logits = logits_with(kernels[i], packed, size, hp, n);
        require(!logits == !expected, "finite as with the portable kernels");
        if (logits)
            require(memcmp(logits, expected, n * sizeof *logits) == 0,
                    "logits as with the portable kernels");
        free(logits);
    }
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gpt2_model *model;
    if (gpt2_model_open(data, (int64_t)size, &model) == GPT2_OK) gpt2_model_close(model);

    if (size < 11) return 0;
    gpt2_hparams hp = {.n_vocab = 1 + data[0] % 40,
                       .n_ctx = 1 + data[1] % 40,
                       .n_head = 1 + data[3] % 4,
                       .n_layer = 1 + data[4] % 2};
    hp.n_embd = hp.n_head * (1 + data[2] % 18);
    int32_t type = data[5] % 2;
    gpt2_sampling how = {.temperature = (float)data[6] / 64,
                         .top_p = (float)data[7] / 255,
                         .repetition_penalty = (float)(1 + data[10]) / 32,
                         .top_k = data[8] % 50,
                         .seed = data[9]};
    int64_t packed_size = gpt2_packed_size(&hp, type);
    require(packed_size > 0 && packed_size < MAX_SIZE, "size");
    uint8_t *packed = aligned_alloc(64, (size_t)packed_size);
    for (int64_t i = 0; i < packed_size; i++) {
        packed[i] = data[(size_t)i % size];
        /* A scale may be any float16 but infinity and NaN, which the engine's float16 has not. */
        if (i % 2 == 1 && (packed[i] & 0x7c) == 0x7c) packed[i] &= 0xbf;
    }
    require(gpt2_pack_header(&hp, type, packed) == GPT2_OK, "header");
    require(gpt2_model_open(packed, packed_size - 1, &model) == GPT2_EFORMAT, "cut short");
    compute(packed, packed_size, &hp, &how);
    free(packed);
    return 0;
}

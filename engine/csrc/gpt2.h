/* GPT-2 inference: the public face of the C library.
 *
 * The model is the one of Radford et al., "Language Models are Unsupervised Multitask Learners"
 * (2019), as gpt-2-simple trains it. The text that comes out depends on model file, prompt,
 * parameters and seed alone: integer dot products inside a quantisation block, one fixed order of
 * float additions, no contraction into FMA, our own exp, a counter-based random generator.
 *
 * Functions that can fail return a status: 0, or one of GPT2_E*. Nothing here prints or aborts.
 */
#ifndef GPT2_H
#define GPT2_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define GPT2_API __declspec(dllexport)
#else
#define GPT2_API __attribute__((visibility("default")))
#endif

enum {
    GPT2_OK = 0,
    GPT2_ENOMEM = -1,   /* memory could not be had */
    GPT2_EHPARAMS = -2, /* hyperparameters that no GPT-2 has */
    GPT2_EFORMAT = -3   /* not a packed model of this version */
};

/* hparams.json, in gpt-2-simple's names. */
typedef struct {
    int32_t n_vocab, n_ctx, n_embd, n_head, n_layer;
} gpt2_hparams;

typedef enum {
    GPT2_F32 = 0, /* float weights and a float KV cache: the reference */
    GPT2_Q8_0 = 1 /* int8 in blocks of 32 with a float16 scale (GGUF's Q8_0); an int8 KV cache */
} gpt2_type;

/* ---- model.c: weights in kernel layout ---------------------------------------------------- */

/* Size in bytes of the packed model, or 0 where the hyperparameters are impossible. */
GPT2_API int64_t gpt2_packed_size(const gpt2_hparams *hp, int32_t type);

/* How many tensors a model has: 2 + 12 * n_layer + 2. */
GPT2_API int32_t gpt2_n_tensors(const gpt2_hparams *hp);

/* Packs tensor number `index` into its place in `out` (gpt2_packed_size() bytes, zeroed, 64-byte
 * aligned). Order and shapes, as in a TensorFlow checkpoint of GPT-2 (E = n_embd):
 *   wte [n_vocab][E], wpe [n_ctx][E],
 *   per layer: ln_1/g [E], ln_1/b [E], attn/c_attn/w [E][3E], attn/c_attn/b [3E],
 *              attn/c_proj/w [E][E], attn/c_proj/b [E], ln_2/g [E], ln_2/b [E],
 *              mlp/c_fc/w [E][4E], mlp/c_fc/b [4E], mlp/c_proj/w [4E][E], mlp/c_proj/b [E],
 *   ln_f/g [E], ln_f/b [E].
 * Values must be finite. */
GPT2_API int32_t gpt2_pack_tensor(const gpt2_hparams *hp, int32_t type, int32_t index,
                                  const float *tensor, uint8_t *out);

/* Whether n floats hold no NaN and no infinity. */
GPT2_API int32_t gpt2_all_finite(const float *x, int64_t n);

/* Writes the header; without it `out` is no model. */
GPT2_API int32_t gpt2_pack_header(const gpt2_hparams *hp, int32_t type, uint8_t *out);

typedef struct gpt2_model gpt2_model;

/* A model over packed bytes, which must stay mapped and unchanged until gpt2_model_close(). */
GPT2_API int32_t gpt2_model_open(const uint8_t *packed, int64_t size, gpt2_model **model);
GPT2_API void gpt2_model_close(gpt2_model *model);

/* The model's kernels: "avx512", "avx2" or "portable". They are chosen when it is opened: the best
 * that the processor has, or the one that GPT2_KERNEL in the environment names. */
GPT2_API const char *gpt2_kernel_name(const gpt2_model *model);

/* Logits [n][n_vocab] after each of n tokens (1 <= n <= n_ctx, ids below n_vocab). */
GPT2_API int32_t gpt2_logits(const gpt2_model *model, const int32_t *tokens, int32_t n,
                             int32_t n_threads, float *logits);

/* ---- sample.c ----------------------------------------------------------------------------- */

typedef struct {
    float temperature;        /* 0: greedy */
    float top_p;              /* 0: off */
    float repetition_penalty; /* 1: off */
    int32_t top_k;            /* 0: off */
    uint32_t seed;
} gpt2_sampling;

/* Bytes of scratch memory that gpt2_sample() needs, a multiple of 64. */
GPT2_API int64_t gpt2_sample_scratch(const gpt2_model *model);

/* Draws the token number `counter` of a text from its logits [n_vocab]. A repetition penalty
 * changes in place those of each token in window [n_window], the tokens that the model sees, but
 * not the stop token's: most texts begin with it, and penalised for that they would not end.
 * scratch: aligned to 8. */
GPT2_API int32_t gpt2_sample(const gpt2_model *model, float *logits, const gpt2_sampling *how,
                             const int32_t *window, int32_t n_window, int32_t stop_token,
                             uint32_t counter, void *scratch);

/* ---- scheduler.c: many requests, one batch ------------------------------------------------ */

typedef struct gpt2_scheduler gpt2_scheduler;
typedef struct gpt2_request gpt2_request;

typedef enum {
    GPT2_RUNNING = 0,
    GPT2_STOP = 1,      /* the stop token was drawn; it is not part of the text */
    GPT2_LENGTH = 2,    /* `length` tokens were drawn */
    GPT2_CANCELLED = 3, /* gpt2_cancel(), or the scheduler ended */
    GPT2_FAILED = 4     /* no memory for the KV cache */
} gpt2_finish;

/* Starts the thread that advances every live request by one token a step. At most max_batch
 * requests run at once, the others wait in order. Keys and values of requests that ended are kept
 * for prompts that begin with the same tokens, the latest `kept_bytes` of them. NULL when memory or
 * threads cannot be had. */
GPT2_API gpt2_scheduler *gpt2_scheduler_start(const gpt2_model *model, int32_t n_threads,
                                              int32_t max_batch, int64_t kept_bytes);

/* Cancels what runs and joins the threads. Requests stay readable until they are released. */
GPT2_API void gpt2_scheduler_stop(gpt2_scheduler *s);

/* Queues a prompt of 1 <= n <= n_ctx tokens to be continued by at most `length` >= 1. When the
 * context window is full, it slides: the last n_ctx / 2 tokens (1 at least) begin a new one. Never
 * blocks. NULL when memory cannot be had. Every request must be released. */
GPT2_API gpt2_request *gpt2_submit(gpt2_scheduler *s, const int32_t *prompt, int32_t n,
                                   int32_t length, const gpt2_sampling *how, int32_t stop_token);

/* Waits until more than `seen` tokens were drawn or the request ended, `timeout_ms` at most (tokens
 * that follow each other within 4 ms, or 50 in a large batch, come together), then copies the
 * tokens from `seen` on into out [capacity] and returns how many. *finish is the state after those:
 * 0 tokens and a finish other than GPT2_RUNNING mean the end. */
GPT2_API int32_t gpt2_read(gpt2_request *r, int32_t seen, int32_t *out, int32_t capacity,
                           int32_t timeout_ms, int32_t *finish);

/* The request leaves the batch at the next step. */
GPT2_API void gpt2_cancel(gpt2_request *r);

/* Cancels and forgets the request; the pointer is dead afterwards. */
GPT2_API void gpt2_release(gpt2_request *r);

typedef struct {
    int32_t running, waiting; /* requests */
    int64_t computed, shared; /* tokens whose keys and values were computed, and copied */
} gpt2_stats;

GPT2_API void gpt2_scheduler_stats(gpt2_scheduler *s, gpt2_stats *stats);

/* ---- tokenizer.c: byte-level BPE ---------------------------------------------------------- */

typedef struct gpt2_tokenizer gpt2_tokenizer;

/* byte_ids[256]: the token of each byte. Merge i joins left[i] and right[i] into result[i]; a
 * smaller i goes first; a pair listed twice keeps its last place. The tokenizer goes on reading the
 * arrays. NULL when memory is out. */
GPT2_API gpt2_tokenizer *gpt2_tokenizer_new(const int32_t *byte_ids, const int32_t *left,
                                            const int32_t *right, const int32_t *result,
                                            int32_t n_merges);
GPT2_API void gpt2_tokenizer_free(gpt2_tokenizer *t);

/* Encodes n bytes of valid UTF-8 into out [n] (a text never has more tokens than bytes).
 * Returns the number of tokens, or GPT2_ENOMEM. Safe from many threads at once. */
GPT2_API int64_t gpt2_encode(const gpt2_tokenizer *t, const uint8_t *text, int64_t n, int32_t *out);

/* ---- ggml_types.c: GGUF's tensors ---------------------------------------------------------- */

/* ggml_type of ggml/include/ggml.h. n is a multiple of the type's block: 1 for floats, 32 for Q4_0
 * and Q8_0, 256 for Q6_K. Rows are whole blocks, so a tensor converts as one long row. */
enum { GGML_F32 = 0, GGML_F16 = 1, GGML_Q4_0 = 2, GGML_Q8_0 = 8, GGML_Q6_K = 14, GGML_BF16 = 30 };

/* The n values of a tensor of any of these types as floats. GPT2_EFORMAT for another type. */
GPT2_API int32_t gpt2_ggml_to_f32(int32_t type, const uint8_t *in, int64_t n, float *out);

/* n finite floats as F32, F16 or Q8_0, the last with the very quants and scales that a GPT2_Q8_0
 * model computes with. GPT2_EFORMAT for another type. */
GPT2_API int32_t gpt2_ggml_from_f32(int32_t type, const float *in, int64_t n, uint8_t *out);

/* in [rows][columns] -> out [columns][rows]: a checkpoint's conv1d weights are [n_in][n_out],
 * GGUF's are [n_out][n_in]. */
GPT2_API void gpt2_transpose(const float *in, int32_t rows, int32_t columns, float *out);

/* ---- crc32c.c ----------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of n bytes, continuing from `crc` (0 to begin). */
GPT2_API uint32_t gpt2_crc32c(uint32_t crc, const uint8_t *data, int64_t n);

#endif

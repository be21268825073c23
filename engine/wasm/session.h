/* The engine as a WebAssembly module: one text at a time, in one thread.
 *
 * gpt2.wasm imports nothing. It exports its memory, malloc(), free(), of gpt2.h the functions that
 * pack and open models, sample and encode, and those below. Pointers are offsets into the memory
 * (an i32; in JavaScript, `>>> 0`), int64_t is an i64 (a BigInt). The host
 *   1. writes a *.packed file (engine/packed.py) to malloc(size). It begins with int8 magic [8],
 *      int32 version, int32 type, gpt2_hparams; gpt2_packed_size() of those says where the weights
 *      end, which gpt2_model_open() takes, and the tokenizer's tables begin;
 *   2. makes gpt2_tokenizer_new() of the tables, which stay where they are, and gpt2_encode()s the
 *      prompt;
 *   3. begins a session and steps until it ends.
 * Views of the memory must be taken anew after each call, since it may have grown. */
#ifndef GPT2_SESSION_H
#define GPT2_SESSION_H

#include "gpt2.h"

typedef struct gpt2_session gpt2_session;

/* A text to begin with a prompt of n >= 1 tokens below n_vocab and to go on by at most `length`
 * tokens, 1 to 2^20. Its tokens are those of Model.submit() in engine/model.py, whose rules for
 * parameters, long prompts and texts beyond the context window hold. NULL when memory is out. */
GPT2_API gpt2_session *gpt2_session_new(const gpt2_model *model, const int32_t *prompt, int32_t n,
                                        int32_t length, double temperature, int32_t top_k,
                                        double top_p, double repetition_penalty, uint32_t seed,
                                        int32_t stop_token);
GPT2_API void gpt2_session_free(gpt2_session *s);

enum {
    GPT2_READING = -1, /* the prompt, or a window that slid: more steps are needed */
    GPT2_END = -2      /* the stop token was drawn, or `length` tokens were */
};

/* Runs up to 64 tokens through the model and, when none is left, draws the next: its id, or one of
 * the above. */
GPT2_API int32_t gpt2_session_step(gpt2_session *s);

/* The logits [n_vocab] from which the last step drew, after the repetition penalty. */
GPT2_API const float *gpt2_session_logits(const gpt2_session *s);

#endif

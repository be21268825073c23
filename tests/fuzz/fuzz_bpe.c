/* The tokenizer on any bytes and any merges that engine/tokenizer.py lets through, against the
 * algorithm as the paper has it: joining the pair of the lowest rank everywhere, pass by pass.
 *
 * Input: how many merges, two bytes for each (which known tokens it joins), then the text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../engine/csrc/gpt2.h"

enum { LETTERS = 10, MAX_MERGES = 100, MAX_TOKEN = 64, MAX_TEXT = 4096 };

/* Bytes that merges are made of: letters, a space, an apostrophe and a character of two bytes. */
static const uint8_t ALPHABET[] = "abcdefgrst \'\xc3\xa9";

typedef struct {
    uint8_t text[MAX_TOKEN];
    size_t length;
} token;

typedef struct {
    token tokens[256 + MAX_MERGES];
    int32_t byte_ids[256];
    int32_t left[MAX_MERGES], right[MAX_MERGES], result[MAX_MERGES];
    int32_t n_tokens, n_merges;
} vocabulary;

static void require(int truth, const char *what) {
    if (truth) return;
    fprintf(stderr, "failed: %s\n", what);
    abort();
}

/* The id of a token with this text: one text is one token, however it is made. */
static int32_t id_of(vocabulary *v, const token *t) {
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->tokens[i].length == t->length && memcmp(v->tokens[i].text, t->text, t->length) == 0)
            return i;
    v->tokens[v->n_tokens] = *t;
    return v->n_tokens++;
}

static void make_vocabulary(vocabulary *v, const uint8_t *pairs, int32_t n) {
    int32_t known[sizeof ALPHABET - 1 + MAX_MERGES];
    uint8_t n_known = sizeof ALPHABET - 1;
    for (int b = 0; b < 256; b++) { /* ids in another order than bytes */
        int32_t id = (b * 7 + 3) % 256;
        v->byte_ids[b] = id;
        v->tokens[id] = (token){.text = {(uint8_t)b}, .length = 1};
    }
    v->n_tokens = 256;
    v->n_merges = 0;
    for (uint8_t i = 0; i < n_known; i++) known[i] = v->byte_ids[ALPHABET[i]];
    for (int32_t i = 0; i < n; i++) {
        int32_t left = known[pairs[2 * i] % n_known], right = known[pairs[2 * i + 1] % n_known];
        token joined = v->tokens[left];
        const token *more = &v->tokens[right];
        if (joined.length + more->length > MAX_TOKEN) continue;
        memcpy(joined.text + joined.length, more->text, more->length);
        joined.length += more->length;
        int32_t m = v->n_merges++;
        v->left[m] = left;
        v->right[m] = right;
        v->result[m] = known[n_known++] = id_of(v, &joined);
    }
}

/* One word, by definition. A pair that is listed twice has its last rank. */
static int64_t encode_slowly(const vocabulary *v, const uint8_t *word, size_t n, int32_t *ids) {
    int64_t length = (int64_t)n;
    for (size_t i = 0; i < n; i++) ids[i] = v->byte_ids[word[i]];
    for (;;) {
        int32_t best = -1;
        for (int64_t i = 0; i + 1 < length; i++) {
            int32_t rank = v->n_merges - 1;
            while (rank >= 0 && (v->left[rank] != ids[i] || v->right[rank] != ids[i + 1])) rank--;
            if (rank >= 0 && (best < 0 || rank < best)) best = rank;
        }
        if (best < 0) return length;
        int64_t kept = 0;
        for (int64_t i = 0; i < length; i++) {
            int joins = i + 1 < length && ids[i] == v->left[best] && ids[i + 1] == v->right[best];
            ids[kept++] = joins ? v->result[best] : ids[i];
            i += joins;
        }
        length = kept;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vocabulary v;
    if (size < 1) return 0;
    int32_t n_merges = data[0] % (MAX_MERGES + 1);
    if (size < 1 + 2 * (size_t)n_merges || size > MAX_TEXT) return 0;
    make_vocabulary(&v, data + 1, n_merges);
    const uint8_t *text = data + 1 + 2 * n_merges;
    size_t n = size - 1 - 2 * (size_t)n_merges;
    gpt2_tokenizer *t = gpt2_tokenizer_new(v.byte_ids, v.left, v.right, v.result, v.n_merges);
    require(t != NULL, "memory");

    /* Decoding gives the text back. */
    int32_t *ids = malloc(n * sizeof *ids);
    int64_t count = gpt2_encode(t, text, (int64_t)n, ids);
    require(count >= 0 && count <= (int64_t)n, "as many tokens as bytes at most");
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        require(ids[i] >= 0 && ids[i] < v.n_tokens, "ids of tokens");
        const token *decoded = &v.tokens[ids[i]];
        require(at + decoded->length <= n && memcmp(text + at, decoded->text, decoded->length) == 0,
                "decodes to the text");
        at += decoded->length;
    }
    require(at == n, "decodes to all of the text");

    /* As one word of few letters, so that merges meet. */
    uint8_t *word = malloc(n);
    int32_t *expected = malloc(n * sizeof *expected);
    if (n > 300) n = 300; /* the definition takes cubic time */
    for (size_t i = 0; i < n; i++) word[i] = ALPHABET[text[i] % LETTERS];
    count = gpt2_encode(t, word, (int64_t)n, ids);
    require(count == encode_slowly(&v, word, n, expected), "as many tokens as by definition");
    require(memcmp(ids, expected, (size_t)count * sizeof *ids) == 0, "tokens as by definition");

    free(expected);
    free(word);
    free(ids);
    gpt2_tokenizer_free(t);
    return 0;
}

/* GPT-2's byte-level byte pair encoding (Sennrich et al., 2016; Radford et al., 2019). */
#include <stdlib.h>
#include <string.h>

#include "gpt2.h"

typedef enum { OTHER, LETTER, NUMBER, SPACE } char_class;

#include "unicode_classes.h"

/* ---- Splitting text into words ------------------------------------------------------------ */

static char_class class_of(uint32_t c) {
    size_t low = 0, high = sizeof CLASSES / sizeof *CLASSES;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > CLASSES[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof CLASSES / sizeof *CLASSES && c >= CLASSES[low].first ? CLASSES[low].is
                                                                             : OTHER;
}

/* The class of the character at text[at], at < n, and its length in bytes. Bytes that are not
 * UTF-8 count as characters of class OTHER. */
static char_class next_char(const uint8_t *text, int64_t n, int64_t at, int32_t *length) {
    uint8_t b = text[at];
    int32_t more = b < 0xc0 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
    *length = 1;
    if (b < 0x80) return class_of(b);
    if (more == 0 || at + more >= n) return OTHER;
    uint32_t c = b & (0x3fu >> more);
    for (int32_t i = 1; i <= more; i++) c = c << 6 | (text[at + i] & 0x3f);
    *length = more + 1;
    return class_of(c);
}

/* The end of the run of characters of one class that starts at `at`. */
static int64_t run_end(const uint8_t *text, int64_t n, int64_t at, char_class is) {
    int32_t length;
    while (at < n && next_char(text, n, at, &length) == is) at += length;
    return at;
}

/* The end of the next match, at text[at], of
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static int64_t word_end(const uint8_t *text, int64_t n, int64_t at) {
    if (text[at] == '\'' && at + 1 < n) {
        uint8_t a = text[at + 1], b = at + 2 < n ? text[at + 2] : 0;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
            return at + 3;
    }
    int32_t length;
    int64_t start = at + (text[at] == ' ' && at + 1 < n);
    char_class is = next_char(text, n, start, &length);
    if (is != SPACE) return run_end(text, n, start, is);
    /* White space: all of it at the end of the text, else all but its last character, which goes
     * with the next word or stands alone. */
    int64_t end = at, last = at;
    while (end < n && next_char(text, n, end, &length) == SPACE) {
        last = end;
        end += length;
    }
    return end == n || last == at ? end : last;
}

/* ---- Merging ------------------------------------------------------------------------------ */

struct gpt2_tokenizer {
    const int32_t *byte_ids, *left, *right, *result; /* the caller's */
    uint32_t mask;                                   /* slots - 1, slots a power of two */
    int32_t slots[];                                 /* merges by their pairs; -1: none */
};

/* The slot where the merge of a pair is or would be (open addressing). */
static uint32_t slot_of(const gpt2_tokenizer *t, int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = (uint32_t)(h >> 32);; i++) {
        int32_t m = t->slots[i & t->mask];
        if (m < 0 || (t->left[m] == left && t->right[m] == right)) return i & t->mask;
    }
}

gpt2_tokenizer *gpt2_tokenizer_new(const int32_t *byte_ids, const int32_t *left,
                                   const int32_t *right, const int32_t *result, int32_t n_merges) {
    uint32_t slots = 16;
    while (slots / 2 < (uint32_t)n_merges) slots *= 2;
    gpt2_tokenizer *t = malloc(sizeof *t + slots * sizeof *t->slots);
    if (!t) return NULL;
    *t = (gpt2_tokenizer){byte_ids, left, right, result, slots - 1};
    for (uint32_t i = 0; i < slots; i++) t->slots[i] = -1;
    for (int32_t i = 0; i < n_merges; i++) t->slots[slot_of(t, left[i], right[i])] = i;
    return t;
}

void gpt2_tokenizer_free(gpt2_tokenizer *t) { free(t); }

/* A word under way: symbols in a doubly linked list, and a heap of the pairs that can merge. */
typedef struct {
    int32_t id, previous, next; /* indices, -1 at the ends; id < 0: merged away */
} symbol;

typedef struct {
    int32_t rank, at, left, right; /* the pair that began at symbol `at` when it was pushed */
} candidate;

typedef struct {
    symbol *symbols;
    candidate *heap;
    int64_t n_heap;
} word;

static int before(const candidate *a, const candidate *b) {
    return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void push(word *w, candidate c) {
    int64_t i = w->n_heap++;
    for (; i > 0 && before(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static candidate pop(word *w) {
    candidate top = w->heap[0], c = w->heap[--w->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!before(&w->heap[child], &c)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = c;
    return top;
}

static void push_pair(const gpt2_tokenizer *t, word *w, int32_t at) {
    if (at < 0 || w->symbols[at].next < 0) return;
    int32_t left = w->symbols[at].id, right = w->symbols[w->symbols[at].next].id;
    int32_t rank = t->slots[slot_of(t, left, right)];
    if (rank >= 0) push(w, (candidate){rank, at, left, right});
}

/* Joins the pair that began at c.at, unless a neighbour has taken part of it. Returns the symbol
 * that is merged away, or -1. */
static int32_t join(const gpt2_tokenizer *t, word *w, candidate c) {
    symbol *s = &w->symbols[c.at];
    if (s->id != c.left || s->next < 0 || w->symbols[s->next].id != c.right) return -1;
    int32_t gone = s->next;
    s->id = t->result[c.rank];
    s->next = w->symbols[gone].next;
    if (s->next >= 0) w->symbols[s->next].previous = c.at;
    w->symbols[gone] = (symbol){.id = -1, .previous = c.at, .next = -1};
    return gone;
}

/* Encodes one word of n bytes: the pair of the lowest rank is merged, from left to right, wherever
 * it stands; then the next. A pair that this makes waits until then even if its rank is lower, as
 * it is where two merges make the same token. */
static int64_t encode_word(const gpt2_tokenizer *t, word *w, const uint8_t *bytes, int32_t n,
                           int32_t *out) {
    for (int32_t i = 0; i < n; i++)
        w->symbols[i] = (symbol){t->byte_ids[bytes[i]], i - 1, i + 1 < n ? i + 1 : -1};
    w->n_heap = 0;
    for (int32_t i = 0; i + 1 < n; i++) push_pair(t, w, i);
    while (w->n_heap > 0) {
        int32_t rank = w->heap[0].rank, all_gone = -1; /* in this pass, linked by `next` */
        while (w->n_heap > 0 && w->heap[0].rank == rank) {
            int32_t gone = join(t, w, pop(w));
            if (gone < 0) continue;
            w->symbols[gone].next = all_gone;
            all_gone = gone;
        }
        for (int32_t i = all_gone; i >= 0; i = w->symbols[i].next) {
            int32_t joined = w->symbols[i].previous;
            push_pair(t, w, w->symbols[joined].previous);
            push_pair(t, w, joined);
        }
    }
    int64_t count = 0;
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) out[count++] = w->symbols[i].id;
    return count;
}

static int reserve(word *w, int64_t n, int64_t *capacity) {
    if (n <= *capacity) return 1;
    free(w->symbols);
    free(w->heap);
    *capacity = n < 64 ? 64 : n;
    w->symbols = malloc((size_t)*capacity * sizeof *w->symbols);
    /* A word of n bytes pushes n - 1 pairs at first and two with each of its merges. */
    w->heap = malloc((size_t)*capacity * 3 * sizeof *w->heap);
    return n <= INT32_MAX && w->symbols && w->heap;
}

int64_t gpt2_encode(const gpt2_tokenizer *t, const uint8_t *text, int64_t n, int32_t *out) {
    word w = {0};
    int64_t capacity = 0, count = 0;
    for (int64_t at = 0, end; at < n && count >= 0; at = end) {
        end = word_end(text, n, at);
        if (reserve(&w, end - at, &capacity))
            count += encode_word(t, &w, text + at, (int32_t)(end - at), out + count);
        else
            count = GPT2_ENOMEM;
    }
    free(w.symbols);
    free(w.heap);
    return count;
}

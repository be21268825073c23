/* The part of libc that the core cannot do without. */
#include <stdlib.h>
#include <string.h>

#include "gpt2.h"

/* ---- Memory: a first-fit list of free blocks (Kernighan and Ritchie, "The C Programming
 * Language", 8.7), which suits few blocks that live long ------------------------------------ */

enum { PAGE = 65536 }; /* bytes by which a WebAssembly memory grows */

/* What stands before every block. Free ones form a ring in order of address. */
typedef struct block {
    size_t units; /* size, this one included */
    struct block *next;
    size_t padding[2]; /* blocks are aligned to 16 bytes, as vectors are */
} block;

static block ring = {.next = &ring};
static block *before = &ring; /* some free block */

GPT2_API void free(void *p) {
    if (!p) return;
    block *b = (block *)p - 1, *a = before;
    /* a < b < a->next, or b lies at either end of the ring */
    while (!(a < b && b < a->next) && !(a >= a->next && (b > a || b < a->next))) a = a->next;
    b->next = a->next;
    a->next = b;
    if (b + b->units == b->next) { /* they touch: one block */
        b->units += b->next->units;
        b->next = b->next->next;
    }
    if (a + a->units == b) {
        a->units += b->units;
        a->next = b->next;
    }
    before = a;
}

/* Appends pages for so many units to the free blocks. */
static int grow(size_t units) {
    size_t pages = (units * sizeof(block) + PAGE - 1) / PAGE;
    size_t first = __builtin_wasm_memory_grow(0, pages);
    if (first == (size_t)-1) return 0;
    block *b = (block *)(first * PAGE);
    b->units = pages * (PAGE / sizeof(block));
    free(b + 1);
    return 1;
}

GPT2_API void *malloc(size_t size) {
    if (size > SIZE_MAX - 2 * PAGE) return NULL;
    size_t units = (size + sizeof(block) - 1) / sizeof(block) + 1;
    for (;;) {
        block *a = before;
        do {
            block *b = a->next;
            if (b->units >= units) {
                if (b->units == units) {
                    a->next = b->next;
                } else { /* the end of it */
                    b->units -= units;
                    b += b->units;
                    b->units = units;
                }
                before = a;
                return b + 1;
            }
            a = a->next;
        } while (a != before);
        if (!grow(units)) return NULL;
    }
}

void *aligned_alloc(size_t alignment, size_t size) {
    (void)alignment; /* a matter of speed alone, and vectors are of 16 bytes here */
    return malloc(size);
}

void *calloc(size_t n, size_t size) {
    size_t bytes;
    void *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : malloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

/* ---- Strings ------------------------------------------------------------------------------ */

int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *x = a, *y = b;
    for (; n > 0; n--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}

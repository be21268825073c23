/* Of stdlib.h, what the core calls: memory from libc.c. */
#ifndef GPT2_STDLIB_H
#define GPT2_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void *calloc(size_t n, size_t size);
void free(void *p);

#endif

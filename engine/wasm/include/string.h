/* Of string.h, what the core calls. clang turns all but memcmp() into WebAssembly's bulk memory
 * instructions. */
#ifndef GPT2_STRING_H
#define GPT2_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif

/* Threads of ours, and their clock. */
#ifndef GPT2_THREAD_H
#define GPT2_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* pthread_create() for threads of ours: they leave the process's signals to its other threads,
 * whose handlers may end the process and wait for ours, and compute with the default floating-point
 * environment whatever their creator's is. Returns 0, or the error. */
int gpt2_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* Microseconds of a clock that nobody sets. */
int64_t gpt2_now_us(void);

#endif

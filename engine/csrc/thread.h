/* Threads of ours. */
#ifndef GPT2_THREAD_H
#define GPT2_THREAD_H

#include <pthread.h>

/* pthread_create() for threads of ours: they leave the process's signals to its other threads,
 * whose handlers may end the process and wait for ours, and compute with the default floating-point
 * environment whatever their creator's is. Returns 0, or the error. */
int gpt2_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif

#include "thread.h"

#include <fenv.h>
#include <signal.h>
#include <time.h>

int gpt2_thread_start(pthread_t *thread, void *(*run)(void *), void *argument) {
    sigset_t all, before;
    fenv_t environment;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* threads inherit both */
    fegetenv(&environment);
    fesetenv(FE_DFL_ENV);
    int error = pthread_create(thread, NULL, run, argument);
    fesetenv(&environment);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int64_t gpt2_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

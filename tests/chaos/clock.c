/* The wall clock goes back by CHAOS_CLOCK_BACK_S seconds, CHAOS_CLOCK_AFTER_MS milliseconds after its first use; no other
   clock does. To be preloaded. libfaketime 0.9.10 breaks waiting for absolute times of the monotonic clock. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long milliseconds(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static long back_s(void) {
    static long long begin = 0;
    const char *after_ms = getenv("CHAOS_CLOCK_AFTER_MS"), *seconds = getenv("CHAOS_CLOCK_BACK_S");
    if (!begin) begin = milliseconds();
    return after_ms && seconds && milliseconds() - begin >= atoll(after_ms) ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    int result = (int)syscall(SYS_clock_gettime, clock, found);
    if (!result && clock == CLOCK_REALTIME) found->tv_sec -= back_s();
    return result;
}

int gettimeofday(struct timeval *found, void *zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    found->tv_sec = now.tv_sec;
    found->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}

/* Clocks as the library reads them, maybe without a system call, beside the calls themselves. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef SYS_clock_gettime64
#define CALL SYS_clock_gettime64
#else
#define CALL SYS_clock_gettime
#endif

static long long nanoseconds(long long seconds, long long rest)
{
    return seconds * 1000000000 + rest;
}

static long long called(int clock)
{
    long long parts[2];
    syscall(CALL, clock, parts);
    return nanoseconds(parts[0], parts[1]);
}

static long long asked(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return nanoseconds(now.tv_sec, now.tv_nsec);
}

/* Time does not go backwards, and is what the kernel says; a little may pass between two looks. */
static void compare(const char *name, int clock)
{
    int backwards = 0, early = 0, late = 0;
    long long last = 0;
    for (int i = 0; i < 20000; i++) {
        long long now = asked(clock);
        backwards += now < last;
        last = now;
        if (i % 1000 == 0) {
            long long kernel = called(clock);
            early += kernel < now - 20000;
            late += kernel > now + 1000000000;
        }
    }
    printf("%s: %d %d %d\n", name, backwards, early, late);
}

int main(void)
{
    compare("time of day", CLOCK_REALTIME);
    compare("monotonic", CLOCK_MONOTONIC);
    compare("raw", CLOCK_MONOTONIC_RAW);
    struct timeval now;
    time_t before = time(0), stored;
    gettimeofday(&now, 0);
    time_t after = time(&stored);
    printf("%d %d %d\n", before <= now.tv_sec, now.tv_sec <= after, after == stored);
    printf("%d\n", now.tv_usec >= 0 && now.tv_usec < 1000000);
    struct timespec none = { -1, -1 };
    printf("%d %ld\n", clock_gettime(99, &none), (long)none.tv_sec);
    printf("%d\n", clock_getres(CLOCK_MONOTONIC, &none) || none.tv_sec);
    return 0;
}

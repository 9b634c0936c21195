/* Long string instructions among many signals: each goes on where it was. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include "../check.h"

enum { SIZE = 1 << 20, ROUNDS = 60 };

static unsigned char source[SIZE], target[SIZE];
static volatile unsigned ticks;
static uint64_t seen[ROUNDS];

static void on_tick(int number)
{
    ticks += number == SIGALRM;
}

static void repeat(unsigned round)
{
    unsigned char *s = source, *d = target;
    uintptr_t c = SIZE;
    asm volatile("rep movsb" : "+c"(c), "+S"(s), "+D"(d) : : "memory");
    check(c + (s - source) + (d - target));
    d = target, c = SIZE;
    asm volatile("repne scasb" : "+c"(c), "+D"(d) : "a"(200) : "memory", "cc");
    check(c + (d - target));
    s = source, d = target, c = SIZE / 4;
    asm volatile("repe cmpsl" : "+c"(c), "+S"(s), "+D"(d) : : "memory", "cc");
    check(c + (s - source) + (d - target));
    d = target + SIZE / 2, c = SIZE / 16;
    asm volatile("rep stosw" : "+c"(c), "+D"(d) : "a"(round * 257) : "memory");
    check(c + (d - target));
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    for (unsigned i = 0; i < SIZE; i++)
        source[i] = i * 7 % 199;
    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &often, 0);
    unsigned round = 0, different = 0;
    for (; round < ROUNDS || ticks < 20; round++) {
        check_state = 1;
        repeat(round % ROUNDS);
        if (round < ROUNDS)
            seen[round] = check_state;
        different += seen[round % ROUNDS] != check_state;
    }
    setitimer(ITIMER_REAL, &never, 0);
    check_state = 1;
    for (unsigned i = 0; i < ROUNDS; i++)
        check(seen[i]);
    repeat(5);
    for (unsigned i = 0; i < SIZE; i++)
        check(target[i]);
    check_print("interrupted");
    printf("%u rounds differed\n", different);
    return 0;
}

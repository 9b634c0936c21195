/* Signals at any moment must leave no trace in what they interrupt: integers, floats, flags, memory. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t came;
static volatile double spoiled;

static void spoil(int number)
{
    double x = number;
    uint32_t h = 17;
    for (int i = 0; i < 30; i++) {
        x = x * 1.0625 + i / 3.0;
        h = h * 31 + (uint32_t)i;
        if (h % 3)
            h ^= h >> 7;
    }
    spoiled = x + h;
    came++;
}

static uint32_t integers(uint32_t seed)
{
    uint32_t a = seed, b = 99, c = 7;
    for (int i = 0; i < 3000; i++) {
        a = a * 1664525 + 1013904223;
        b = (b << 5 | b >> 27) ^ a;
        c += b > a ? b / (a | 1) : a % (b | 1);
        if ((int32_t)b < (int32_t)a)
            c = ~c;
    }
    return a ^ b ^ c;
}

static double floats(double seed)
{
    double x = seed, y = 0.5, z = 1;
    for (int i = 0; i < 2000; i++) {
        x = x * 0.5 + y / 3;
        y = y < x ? y * 0.25 + z / 7 : 1 - z / 3;
        z = z * -0.75 + (float)(x * y) / 8;
    }
    return x + y + z;
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint32_t memory(uint32_t seed)
{
    static uint32_t table[500], copy[500];
    uint32_t sum = 0;
    for (int i = 0; i < 500; i++)
        table[i] = seed = seed * 69069 + 1;
    memcpy(copy, table, sizeof table);
    qsort(copy, 500, sizeof copy[0], compare);
    for (int i = 0; i < 500; i++)
        sum = sum * 5 + copy[i];
    return sum;
}

static uint64_t wide(uint64_t seed)
{
    uint64_t a = seed;
    for (int i = 0; i < 500; i++)
        a = a * 6364136223846793005u + 1442695040888963407u + a / 12345 + (a >> 33);
    return a;
}

int main(void)
{
    struct itimerval timer = { { 0, 300 }, { 0, 300 } }, off = { { 0, 0 }, { 0, 0 } };
    uint32_t first = integers(1), table = memory(3);
    uint64_t number = wide(5);
    double real = floats(2.5);
    int wrong = 0, rounds = 0;
    signal(SIGALRM, spoil);
    setitimer(ITIMER_REAL, &timer, 0);
    while (came < 1500 || rounds < 200) {
        wrong += integers(1) != first;
        volatile double again = floats(2.5); /* rounded, as an x87 does not by itself */
        wrong += again != real;
        wrong += memory(3) != table;
        wrong += wide(5) != number;
        rounds++;
    }
    setitimer(ITIMER_REAL, &off, 0);
    printf("wrong %d\n", wrong);
    printf("%08x %08x %016llx %.17g\n", first, table, (unsigned long long)number, real);
    return 0;
}

/* Calls and returns: Fibonacci's numbers the long way.    recursion <times> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static __attribute__((noinline)) uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(int argc, char **argv)
{
    uint32_t times = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, sum = 0;
    for (uint32_t i = 0; i < times; i++)
        sum += fib(20 + (i & 1));
    printf("recursion %u: %u\n", (unsigned)times, (unsigned)sum);
    return 0;
}

/* Primes below 32,768, by crossing out.    sieve <times> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 32768

static uint8_t crossed[LIMIT];

int main(int argc, char **argv)
{
    uint32_t times = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, count = 0;
    for (uint32_t round = 0; round < times; round++) {
        memset(crossed, 0, sizeof crossed);
        for (uint32_t i = 2; i * i < LIMIT; i++)
            if (!crossed[i])
                for (uint32_t j = i * i; j < LIMIT; j += i)
                    crossed[j] = 1;
        for (uint32_t i = 2; i < LIMIT; i++)
            count += !crossed[i];
    }
    printf("sieve %u: %u\n", (unsigned)times, (unsigned)count);
    return 0;
}

/* The C library's memcpy, memset and strlen on 64 KiB.    library <rounds> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 65536

static char from[SIZE + 64], to[SIZE + 64];
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile fill)(void *, int, size_t) = memset;
static size_t (*volatile length)(const char *) = strlen;

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, sum = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        size_t at = i % 61;
        fill(from, 'a' + (int)(i % 26), SIZE);
        from[SIZE - 1 - at] = 0;
        copy(to + at, from, SIZE);
        sum += (uint32_t)length(to + at) + (uint8_t)to[i % SIZE];
    }
    printf("library %u: %u\n", (unsigned)rounds, (unsigned)sum);
    return 0;
}

/* Bytes copied one by one until a zero.    copy <times> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static char from[4096], to[4096];

static __attribute__((noinline)) char *copy(char *target, const char *source)
{
    char *result = target;
    while ((*target++ = *source++))
        ;
    return result;
}

int main(int argc, char **argv)
{
    uint32_t times = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, sum = 0;
    for (int i = 0; i < 4095; i++)
        from[i] = (char)('a' + i % 26);
    for (uint32_t i = 0; i < times; i++) {
        from[i % 4000] = (char)('A' + i % 26);
        sum += (uint8_t)copy(to, from)[i * 7 % 4095];
    }
    printf("copy %u: %u\n", (unsigned)times, (unsigned)sum);
    return 0;
}

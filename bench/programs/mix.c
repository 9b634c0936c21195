/* Integers and doubles by turns: points on a grid are hashed, moved, weighed and converted.    mix <times> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define POINTS 1000

static float xs[POINTS];
static double ys[POINTS];
static uint32_t tags[POINTS];

static uint32_t hash(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

int main(int argc, char **argv)
{
    uint32_t times = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    int64_t total = 0;
    for (uint32_t i = 0; i < POINTS; i++)
        tags[i] = i;
    for (uint32_t round = 0; round < times; round++)
        for (uint32_t i = 0; i < POINTS; i++) {
            uint32_t tag = tags[i] = hash(tags[i] + round);
            xs[i] = xs[i] * 0.5f + (float)(int32_t)tag * 0.25f;
            ys[i] = ys[i] * 0.75 + (double)(tag & 0xffff) / 3.0;
            if (ys[i] > 60000.0)
                ys[i] -= xs[i] > 0 ? 1000.0 : 2000.0;
            total += (int32_t)ys[i] + (tag % 1000 < 500 ? (int32_t)(xs[i] * 0.001f) : 7);
        }
    printf("mix %u: %lld\n", (unsigned)times, (long long)total);
    return 0;
}

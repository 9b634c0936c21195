/* Arrays of floats and doubles, in loops that a compiler makes vectors of.    packed <rounds> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS 2048

static float a[ITEMS], b[ITEMS], c[ITEMS];
static double x[ITEMS], y[ITEMS];

static __attribute__((noinline)) void floats(float factor)
{
    for (int i = 0; i < ITEMS; i++)
        c[i] = a[i] * factor + 0.5f * c[i] - b[i];
    for (int i = 0; i < ITEMS; i++)
        b[i] = (c[i] < a[i] ? c[i] : a[i]) - 0.25f * b[i];
}

static __attribute__((noinline)) void doubles(double factor)
{
    for (int i = 0; i < ITEMS; i++)
        y[i] = y[i] * factor + x[i];
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    double sum = 0;
    for (int i = 0; i < ITEMS; i++) {
        a[i] = (float)(i % 17) * 0.25f;
        b[i] = (float)(i % 5) * 0.125f;
        x[i] = i % 7;
    }
    for (uint32_t i = 0; i < rounds; i++) {
        floats(0.75f);
        doubles(0.5);
    }
    for (int i = 0; i < ITEMS; i++)
        sum += c[i] + b[i] + y[i];
    printf("packed %u: %.6f\n", (unsigned)rounds, sum);
    return 0;
}

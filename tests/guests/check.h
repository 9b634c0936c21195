/* A running hash of results, so that a long computation prints a short line. */
#ifndef CHECK_H
#define CHECK_H
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static uint64_t check_state = 0xcbf29ce484222325u;

static inline void check(uint64_t value)
{
    for (int i = 0; i < 8; i++, value >>= 8)
        check_state = (check_state ^ (value & 0xff)) * 0x100000001b3u;
}

static inline void check_double(double value)
{
    union { double d; uint64_t u; } bits = { .d = value };
    check(value != value ? 0x7ff8000000000000u : bits.u);
}

static inline void check_print(const char *what)
{
    printf("%-24s %016" PRIx64 "\n", what, check_state);
    check_state = 0xcbf29ce484222325u;
}

/* Marsaglia's xorshift64*: the same numbers everywhere. */
static uint64_t random_state = 88172645463325252u;

static inline uint64_t random64(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

/* Numbers that find mistakes more often: edges, powers of two and their neighbours, and any. */
static inline uint32_t awkward32(void)
{
    static const uint32_t edges[] = { 0, 1, 2, 31, 32, 33, 0x7fffffff, 0x80000000, 0x80000001,
                                      0xffffffff, 0xfffffffe, 0xffff, 0x10000, 0x8000, 0x7fff, 255 };
    uint64_t pick = random64();
    switch (pick >> 62) {
    case 0: return edges[(pick >> 8) & 15];
    case 1: return ((uint32_t)1 << ((pick >> 8) & 31)) - (uint32_t)((pick >> 16) & 1);
    default: return (uint32_t)(pick >> 13);
    }
}

static inline uint64_t awkward64(void)
{
    uint64_t high = awkward32();
    return high << 32 | awkward32();
}
#endif

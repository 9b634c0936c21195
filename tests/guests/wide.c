/* 64-bit integers on a 32-bit machine: carries, double shifts, division, conversions. */
#include "check.h"

#define ROUNDS 3000

static void arithmetic(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = awkward64(), b = awkward64();
        check(a + b); check(a - b); check(a * b); check(-a); check(a + 1); check(a - 1);
        check(a & b); check(a ^ b); check(a | ~b);
        if (b) {
            check(a / b); check(a % b);
            if (!(a == (uint64_t)1 << 63 && b == ~(uint64_t)0)) {
                check((uint64_t)((int64_t)a / (int64_t)b));
                check((uint64_t)((int64_t)a % (int64_t)b));
            }
        }
        check(a / 10); check((uint64_t)((int64_t)a / 1000)); check(a % 7);
    }
    check_print("arithmetic");
}

static void shifts(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = awkward64();
        unsigned n = (unsigned)random64() & 63;
        check(a << n); check(a >> n); check((uint64_t)((int64_t)a >> n));
        check(a << n | a >> ((64 - n) & 63));
        check(__builtin_bswap64(a)); check(a ? (unsigned)__builtin_clzll(a) : 64);
        check((unsigned)__builtin_popcountll(a));
    }
    check_print("shifts");
}

static void comparisons(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = awkward64(), b = (i & 3) ? awkward64() : a;
        int64_t s = (int64_t)a, t = (int64_t)b;
        check((uint64_t)((a < b) | (a <= b) << 1 | (a == b) << 2 | (s < t) << 3 | (s <= t) << 4));
        check(s < t ? a : b);
    }
    check_print("comparisons");
}

static void conversions(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = awkward64();
        double d = (double)a, e = (double)(int64_t)a;
        float f = (float)(int64_t)a, g = (float)a;
        check_double(d); check_double(e); check_double(f); check_double(g);
        check((uint64_t)(int64_t)(e / 3)); check((uint64_t)(d / 3));
        check((uint32_t)(int32_t)(e / 8589934592.0)); check((uint32_t)(d / 8589934592.0));
    }
    check_print("conversions");
}

static void mixed(void)
{
    uint64_t x = 1, y = 0;
    for (int i = 0; i < ROUNDS * 10; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        y = (y >> 7 | y << 57) + (x ^ x >> 31) * (uint32_t)x;
        y -= (int32_t)(x >> 40);
    }
    check(x); check(y);
    check_print("mixed");
}

int main(void)
{
    arithmetic();
    shifts();
    comparisons();
    conversions();
    mixed();
    return 0;
}

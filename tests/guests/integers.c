/* Every integer operation C has, on awkward operands, at 8, 16 and 32 bits. */
#include "check.h"

#define ROUNDS 4000

static uint32_t rotate(uint32_t x, unsigned n) { n &= 31; return x << n | x >> ((32 - n) & 31); }

static void arithmetic(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32(), b = awkward32();
        check(a + b);
        check(a - b);
        check(a * b);
        check(-a);
        check((uint64_t)a * b >> 32);
        check((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32);
        if (b) {
            check(a / b);
            check(a % b);
            if (!(a == 0x80000000 && b == 0xffffffff)) {
                check((uint32_t)((int32_t)a / (int32_t)b));
                check((uint32_t)((int32_t)a % (int32_t)b));
            }
        }
    }
    check_print("arithmetic");
}

static void constants(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32();
        int32_t s = (int32_t)a;
        check(a / 3 + a / 7 + a / 10 + a / 1000003);
        check((uint32_t)(s / 3 + s / 16 - s / 7 + s % 10 + s / -5));
        check(a * 10 + a * 65537 + a * 0xdeadbeef);
        check((a + 0x12340000) ^ (a & 0xffff0000) ^ (a | 0x00ff0000) ^ (a & 0x0ff0));
        check(a - 32768 + (a > 32767) + (s > -32768) + (a <= 5) + (s >= 0));
    }
    check_print("constants");
}

static void logic(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32(), b = awkward32();
        check(a & b); check(a | b); check(a ^ b);
        check(~(a & b)); check(~(a | b)); check(~(a ^ b));
        check(a & ~b); check(a | ~b);
        check((a >> 5 & 0x3ff) | (b << 10 & 0xfffc00));
        check((a & 0xff00ff00) | (b & 0x00ff00ff));
    }
    check_print("logic");
}

static void shifts(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32();
        unsigned n = (unsigned)random64() & 31;
        check(a << n); check(a >> n); check((uint32_t)((int32_t)a >> n));
        check(rotate(a, n)); check(rotate(a, 8)); check(a >> 7); check((uint32_t)((int32_t)a >> 19));
        check(__builtin_bswap32(a)); check(__builtin_bswap16((uint16_t)a));
        check(a ? (unsigned)__builtin_clz(a) : 32); check(a ? (unsigned)__builtin_ctz(a) : 32);
        check((unsigned)__builtin_popcount(a)); check((unsigned)__builtin_parity(a));
    }
    check_print("shifts");
}

static void narrow(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32(), b = awkward32();
        int8_t c = (int8_t)a; uint8_t d = (uint8_t)b;
        int16_t e = (int16_t)b; uint16_t f = (uint16_t)a;
        check((uint32_t)(c * e)); check((uint32_t)(d + f)); check((uint32_t)(int16_t)(e * 3));
        check((uint8_t)(d << 1 | d >> 7)); check((uint32_t)(c < (int8_t)d)); check((uint32_t)(e >> 3));
        check((uint32_t)(int8_t)(c + (int8_t)d)); check((uint16_t)(f - e));
    }
    check_print("narrow");
}

static void comparisons(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = awkward32(), b = awkward32();
        int32_t s = (int32_t)a, t = (int32_t)b;
        check((uint32_t)((a < b) | (a <= b) << 1 | (a == b) << 2 | (a != b) << 3));
        check((uint32_t)((s < t) | (s <= t) << 1 | (s > t) << 2 | (s >= t) << 3));
        check(s < t ? a : b); check(a > b ? a - b : b - a);
        check((uint32_t)(!a + !!b)); check(a && b); check(a || b);
        uint32_t sum, difference, product;
        check((uint32_t)__builtin_add_overflow(a, b, &sum) + sum);
        check((uint32_t)__builtin_sub_overflow(s, t, (int32_t *)&difference) + difference);
        check((uint32_t)__builtin_mul_overflow(s, t, (int32_t *)&product) + product);
    }
    check_print("comparisons");
}

int main(void)
{
    arithmetic();
    constants();
    logic();
    shifts();
    narrow();
    comparisons();
    return 0;
}

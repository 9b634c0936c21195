/* Doubles and floats: arithmetic, formatting, rounding modes, exceptions, conversions. */
#include "check.h"
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double from_bits(uint64_t bits) { double d; memcpy(&d, &bits, 8); return d; }

/* Any finite double, with exponents that meet one another. */
static double some(void)
{
    uint64_t bits = random64();
    uint64_t exponent = 1023 - 40 + (random64() >> 40) % 80;
    if ((bits & 0xf00) == 0)
        return from_bits(bits & 0x800fffffffffffffu);
    return from_bits((bits & 0x800fffffffffffffu) | exponent << 52);
}

static void arithmetic(const char *what)
{
    for (int i = 0; i < 3000; i++) {
        volatile double a = some(), b = some(), c = some();
        check_double(a + b); check_double(a - b); check_double(a * b); check_double(a / b);
        check_double(fma(a, b, c)); check_double(sqrt(fabs(a))); check_double(-a); check_double(fabs(b));
        volatile float f = (float)a, g = (float)b;
        check_double(f + g); check_double(f - g); check_double(f * g); check_double(f / g);
        check_double(fmaf(f, g, f));
        check((uint32_t)((a < b) | (a <= b) << 1 | (a == b) << 2 | (a > b) << 3));
    }
    check_print(what);
}

/* Whole numbers by the rounding of an addition: the libraries' own rint minds the mode or does not. */
static double whole(double x)
{
    volatile double sum = x + 0x1.8p52;
    return sum - 0x1.8p52;
}

static void rounding(void)
{
    static const struct { int mode; const char *name; } modes[] = {
        { FE_TONEAREST, "to nearest" }, { FE_TOWARDZERO, "toward zero" },
        { FE_UPWARD, "upward" }, { FE_DOWNWARD, "downward" },
    };
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i].mode);
        arithmetic(modes[i].name);
        for (int j = 0; j < 500; j++) {
            volatile double a = some();
            check_double(whole(fmod(a, 1e9)));
            if (modes[i].mode == FE_TONEAREST) {
                check_double(rint(a));
                check((uint64_t)(int64_t)lrint(fmod(a, 1e6)));
            }
        }
        check_print("  whole numbers");
    }
    fesetround(FE_TONEAREST);
}

static void exceptions(void)
{
    static const struct { double a, b; char op; } cases[] = {
        { 1, 0, '/' }, { 0, 0, '/' }, { 1, 3, '/' }, { DBL_MAX, 2, '*' }, { DBL_MIN, DBL_MIN, '*' },
        { 1, 2, '+' }, { INFINITY, INFINITY, '-' }, { INFINITY, 0, '*' }, { 1e300, 1e-300, '+' },
        { NAN, 1, '+' }, { -1, 0, 's' }, { 4, 0, 's' }, { 1e10, 0, 'i' }, { 1.5, 0, 'i' }, { 2, 0, 'i' },
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        volatile double a = cases[i].a, b = cases[i].b, r = 0;
        volatile int32_t n = 0;
        feclearexcept(FE_ALL_EXCEPT);
        switch (cases[i].op) {
        case '/': r = a / b; break;
        case '*': r = a * b; break;
        case '+': r = a + b; break;
        case '-': r = a - b; break;
        case 's': r = sqrt(a); break;
        case 'i': if (a < 2e9) n = (int32_t)a; r = n; break;
        }
        int raised = fetestexcept(FE_ALL_EXCEPT);
        printf("%g %c %g = %g:%s%s%s%s%s\n", a, cases[i].op, b, isnan(r) ? 0.0 : r,
               raised & FE_INVALID ? " invalid" : "", raised & FE_DIVBYZERO ? " divbyzero" : "",
               raised & FE_OVERFLOW ? " overflow" : "", raised & FE_UNDERFLOW ? " underflow" : "",
               cases[i].op != 'i' && (raised & FE_INEXACT) ? " inexact" : "");
    }
}

static void formatting(void)
{
    static const double values[] = { 0, 1, -1, 0.1, 1.0 / 3, 1e15, 1e16, 123456789.125, 5e-324,
                                     DBL_MAX, DBL_MIN, 2.5, 3.5, -0.5, 1e100, M_PI, M_E };
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++)
        printf("%f %e %g %.17g %.0f %+.3f|%12.4f|%-12.2e|\n", values[i] > 1e40 ? 1 : values[i], values[i],
               values[i], values[i], values[i] > 1e40 ? 1 : values[i], values[i] > 1e40 ? 1 : values[i],
               values[i] > 1e40 ? 1 : values[i], values[i]);
    for (int i = 0; i < 40; i++) {
        char text[64];
        double d = some();
        snprintf(text, sizeof text, "%.17g", d);
        if (strtod(text, 0) != d)
            printf("%s does not read back\n", text);
        puts(text);
    }
    printf("%g %g %g %g\n", INFINITY, -INFINITY, (double)FLT_MAX, (double)FLT_MIN);
}

static void conversions(void)
{
    for (int i = 0; i < 3000; i++) {
        double a = fmod(some(), 2e9);
        check((uint32_t)(int32_t)a); check((uint32_t)(int32_t)(float)fmod(a, 1e9)); check((uint32_t)fabs(a));
        check_double((int32_t)random64()); check_double((uint32_t)random64()); check_double((float)a);
        check_double((float)(int32_t)random64());
        check_double(floor(a)); check_double(ceil(a)); check_double(trunc(a)); check_double(round(a));
        int exponent;
        check_double(frexp(a, &exponent)); check((uint32_t)exponent); check_double(ldexp(a, exponent));
        check_double(copysign(a, some())); check_double(fmin(a, 7)); check_double(fmax(a, -7));
    }
    check_print("conversions");
}

int main(void)
{
    arithmetic("arithmetic");
    rounding();
    exceptions();
    formatting();
    conversions();
    return 0;
}

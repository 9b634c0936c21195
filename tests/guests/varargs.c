/* Variable arguments and structures by value, in registers and on the stack. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct { int8_t a; } One;
typedef struct { int16_t a; int8_t b; } Three;
typedef struct { int32_t a; int64_t b; } Twelve;
typedef struct { double x, y, z; } Vector;
typedef struct { float f; int32_t i; char text[21]; } Mixed;
typedef union { int64_t n; double d; } Either;

static double total(const char *kinds, ...)
{
    va_list list, again;
    double sum = 0;
    va_start(list, kinds);
    va_copy(again, list);
    for (int pass = 0; pass < 2; pass++)
        for (const char *kind = kinds; *kind; kind++) {
            switch (*kind) {
            case 'i': sum += pass ? va_arg(again, int) : va_arg(list, int); break;
            case 'd': sum += pass ? va_arg(again, double) : va_arg(list, double); break;
            case 'q': sum += (double)(pass ? va_arg(again, int64_t) : va_arg(list, int64_t)); break;
            case 'v': sum += pass ? va_arg(again, Vector).y : va_arg(list, Vector).y; break;
            case 's': sum += (double)strlen(pass ? va_arg(again, char *) : va_arg(list, char *)); break;
            }
        }
    va_end(again);
    va_end(list);
    return sum;
}

static Twelve mix(One a, Three b, Twelve c, Vector d, Mixed e, Either f, int8_t g, int16_t h, int64_t i)
{
    Twelve result = { a.a + b.a * b.b + g, c.a + c.b + (int64_t)(d.x + d.y * d.z) + e.i + f.n + h + i };
    return result;
}

static Vector scaled(Vector v, double by) { v.x *= by; v.y *= by; v.z *= by; return v; }

static Mixed renamed(Mixed m, const char *text) { strncpy(m.text, text, 20); m.f *= 2; return m; }

static int64_t many(int a, int64_t b, int c, int64_t d, int e, int64_t f, int g, int64_t h, int i, float j, double k,
                    double l, double m, double n, double o, double p, double q, double r, double s)
{
    return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9 +
           (int64_t)(j + k * 2 + l * 3 + m * 4 + n * 5 + o * 6 + p * 7 + q * 8 + r * 9 + s * 10);
}

int main(void)
{
    Vector v = { 1.5, -2.25, 4 };
    Mixed m = { 0.5f, 77, "mixed" };
    Either e = { .n = INT64_C(123456789012) };
    printf("%g\n", total("idqs", 3, 2.5, INT64_C(10000000000), "four"));
    printf("%g\n", total("iqiqiqiqidddddddddd", 1, INT64_C(2), 3, INT64_C(4), 5, INT64_C(6), 7, INT64_C(8), 9,
                         1., 2., 3., 4., 5., 6., 7., 8., 9., 10.));
    printf("%g\n", total("vivdv", v, 9, scaled(v, 3), 0.125, v));
    Twelve t = mix((One){ -3 }, (Three){ 300, 7 }, (Twelve){ 5, -6 }, v, m, e, -8, -900, INT64_C(1) << 40);
    printf("%" PRId32 " %" PRId64 "\n", t.a, t.b);
    m = renamed(m, "another name");
    printf("%g %d %s\n", m.f, (int)m.i, m.text);
    printf("%" PRId64 "\n", many(1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    return 0;
}

/* The C library's string and memory functions, at every alignment. */
#include "check.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static unsigned char space[4096], other[4096];

static void fill(void)
{
    for (unsigned i = 0; i < sizeof space; i++) {
        space[i] = (unsigned char)(random64() >> 20);
        other[i] = (unsigned char)(1 + i % 255);
    }
}

static void hash(void)
{
    for (unsigned i = 0; i < sizeof space; i++)
        check(space[i]);
}

static void moving(void)
{
    for (unsigned from = 0; from < 9; from++)
        for (unsigned to = 0; to < 9; to++)
            for (unsigned n = 0; n < 300; n += 1 + n / 8) {
                memcpy(space + to, other + from, n);
                memmove(space + 600 + to, space + 600 + from, n);
                memset(space + 1200 + to, (int)(n + from), n);
            }
    hash();
    check_print("moving");
}

static int sign(int n) { return (n > 0) - (n < 0); }

static void comparing(void)
{
    for (unsigned i = 0; i < 9; i++)
        for (unsigned n = 0; n < 200; n += 1 + n / 8) {
            char a[256], b[256];
            memset(a, 'x', sizeof a); memset(b, 'x', sizeof b);
            a[i + n] = 0; b[i + n] = (char)(n & 1 ? 'y' : 0);
            b[i + n + 1] = 0;
            check(strlen(a + i)); check((unsigned)sign(strcmp(a + i, b + i)));
            check((unsigned)sign(memcmp(a + i, b + i, n + 1))); check((unsigned)sign(strncmp(a + i, b + i, n)));
            const char *found = strchr(b + i, 'y');
            check(found ? (unsigned)(found - b) : 999);
            found = memchr(a + i, 0, 255 - i);
            check((unsigned)(found - a)); check(strspn(a + i, "x")); check(strcspn(b + i, "y"));
        }
    check_print("comparing");
}

static void words(void)
{
    char text[] = "the quick brown fox jumps over the lazy dog";
    int count = 0;
    for (char *word = strtok(text, " "); word; word = strtok(0, " "))
        printf("%d:%s(%d) ", ++count, word, (int)strlen(word));
    printf("\n%s\n", strstr("a needle in a haystack", "needle"));
    char line[80] = "";
    for (int i = 0; i < 10; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%0*d", i + 1, i);
    puts(line);
    printf("%d %u %x %o %c %s %5d|%-5d|%05d %+d %% %" PRId64 "\n", -7, 7u, 0xbeefu, 8u, 'z', "string", 42,
           42, 42, 42, (int64_t)-9000000000);
    printf("%ld %lu %ld\n", strtol("-123abc", 0, 10), strtoul("ff", 0, 16), strtol("0777", 0, 0));
    int a, b; char name[16];
    printf("%d", sscanf("12 abc 0x1f", "%d %15s %i", &a, name, &b));
    printf(" %d %s %d\n", a, name, b);
    wchar_t wide[8];
    printf("%d\n", (int)mbstowcs(wide, "wide", 8));
}

int main(void)
{
    fill();
    moving();
    comparing();
    words();
    return 0;
}

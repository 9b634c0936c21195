/* setjmp and longjmp, out of deep recursion and with registers kept; atexit; computed gotos. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf place;

static void descend(int depth, double x)
{
    if (depth == 0)
        longjmp(place, (int)x);
    descend(depth - 1, x + 1.5);
    puts("never here");
}

static int interpret(const char *program)
{
    static const void *const targets[] = { &&add, &&double_it, &&negate, &&stop };
    int value = 1;
next:
    goto *targets[*program++ - '0'];
add: value += 5; goto next;
double_it: value *= 2; goto next;
negate: value = -value; goto next;
stop: return value;
}

static void last(void) { puts("last words"); }

int main(void)
{
    volatile int rounds = 0;
    volatile double kept = 2.5;
    atexit(last);
    int result = setjmp(place);
    printf("setjmp gave %d, kept %g\n", result, kept);
    if (rounds++ < 5) {
        kept *= 2;
        descend(rounds * 20, rounds);
    }
    printf("%d\n", interpret("011201120113"));
    exit(7);
}

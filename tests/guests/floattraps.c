/* Floating-point exceptions that are enabled arrive as SIGFPE, and only those. */
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#ifdef __powerpc__
#include <sys/prctl.h>
#endif

static sigjmp_buf again;
static volatile sig_atomic_t code;
static volatile double zero = 0.0, one = 1.0, three = 3.0, big = 1e300, result;

static void on_fpe(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    code = info->si_code;
    siglongjmp(again, 1);
}

static void enable(void)
{
    feclearexcept(FE_ALL_EXCEPT);
#ifdef __powerpc__
    prctl(PR_SET_FPEXC, PR_FP_EXC_PRECISE);
    __asm__ volatile("mtfsb1 24\n\tmtfsb1 25\n\tmtfsb1 27");
#elif defined __i386__ || defined __x86_64__ /* musl has no feenableexcept */
    unsigned short control;
    unsigned mxcsr;
    __asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(control), "=m"(mxcsr));
    control &= ~0xd;
    mxcsr &= ~0x680;
    __asm__ volatile("fldcw %0\n\tldmxcsr %1" : : "m"(control), "m"(mxcsr));
#else
    feenableexcept(FE_INVALID | FE_OVERFLOW | FE_DIVBYZERO);
#endif
}

static const char *name_of_code(void)
{
    switch (code) {
    case FPE_FLTDIV: return "division by zero";
    case FPE_FLTOVF: return "overflow";
    case FPE_FLTINV: return "invalid operation";
    default: return "?";
    }
}

static void try(const char *what, int which)
{
    result = -1;
    if (sigsetjmp(again, 1) == 0) {
        enable();
        switch (which) {
        case 0: result = one / zero; break;
        case 1: result = zero / zero; break;
        case 2: result = big * big; break;
        case 3: result = one / three; break;
        case 4: result = (float)big; break;
        case 5: result = one + three; break;
        }
        printf("%-10s no signal, %g\n", what, result);
    } else {
        printf("%-10s %s, result kept %d\n", what, name_of_code(), result == -1);
    }
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO };
    sigaction(SIGFPE, &action, NULL);
    result = one / zero;
    printf("before     no signal, %g\n", result);
    for (int i = 0; i < 2; i++) {
        try("1/0", 0);
        try("0/0", 1);
        try("big*big", 2);
        try("1/3", 3);
        try("narrow", 4);
        try("1+3", 5);
    }
    return 0;
}

/* Signal frames of PowerPC Linux: registers as a handler sees them, and what it changes in them. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* The libcs name it differently: uc_regs of the kernel's struct ucontext. */
#define GREGS(context) (*(unsigned long **)((char *)(context) + 48))
enum { R3 = 3, NIP = 32, CTR = 35, LNK = 36, XER = 37, CCR = 38, TRAP = 40, DAR = 41 };

static volatile int hits, code;
static void *volatile address;
static unsigned long seen[48];
static double fpr14;

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, 0);
}

/* Step over the instruction that faulted, and give it a result. */
static void fix_up(int number, siginfo_t *info, void *context)
{
    unsigned long *regs = GREGS(context);
    (void)number;
    hits++;
    code = info->si_code;
    address = info->si_addr;
    memcpy(seen, regs, sizeof seen);
    regs[R3] = 0x1234567;
    regs[NIP] += 4;
}

__attribute__((noinline)) static unsigned long load(void *from)
{
    register unsigned long result __asm__("r3") = (unsigned long)from;
    __asm__ volatile("lwz 3, 0(3)" : "+r"(result) : : "memory");
    return result;
}

static void faults(void)
{
    char *page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    install(SIGSEGV, fix_up, 0);
    unsigned long got = load(page + 16);
    printf("load %lx code %d address %d dar %d trap %lx\n", got, code, address == page + 16,
           seen[DAR] == (unsigned long)(page + 16), seen[TRAP]);
    munmap(page, 4096);
    got = load(page + 8);
    printf("load %lx code %d address %d\n", got, code, address == page + 8);
    for (int i = 0; i < 5000; i++)
        got += load(page + i % 4096);
    printf("hits %d sum %lx\n", hits, got);
}

static void skip(int number, siginfo_t *info, void *context)
{
    unsigned long *regs = GREGS(context);
    hits++;
    printf("signal %d code %d at pc %d\n", number, info->si_code,
           (unsigned long)info->si_addr == regs[NIP]);
    regs[NIP] += 4;
}

static void traps(void)
{
    install(SIGTRAP, skip, 0);
    install(SIGILL, skip, 0);
    __asm__ volatile("trap");
    __asm__ volatile(".long 0");
    __asm__ volatile("mtspr 26, 3");
    printf("back\n");
}

/* Every register survives a handler that uses them all. */
static void spoil(int number)
{
    double x = number;
    for (int i = 0; i < 40; i++)
        x = x * 1.25 + i;
    fpr14 += x;
    hits++;
    __asm__ volatile("li 0,-1; mtctr 0; mtxer 0; mtcrf 255,0" : : : "r0", "ctr", "xer", "cc",
                     "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21", "fr0", "fr1", "fr14", "fr15");
}

static void survive(void)
{
    unsigned long a = 0x11111111, b = 0x22222222, ctr, xer, cr, result[4];
    double f = 1.5, g;
    hits = 0;
    signal(SIGUSR1, spoil);
    __asm__ volatile(
        "mr 14, %6; mr 15, %7; fmr 14, %8\n"
        "lis 9, 0x1234; mtctr 9; lis 9, 0x6000; mtxer 9; lis 9, 0x5a5a; ori 9, 9, 0xa5a5; mtcr 9\n"
        "mr 3, %9; li 4, 10; li 0, 37; sc\n"
        "mr %0, 14; mr %1, 15; mfctr %2; mfxer %3; mfcr %4; fmr %5, 14\n"
        : "=&r"(result[0]), "=&r"(result[1]), "=&r"(ctr), "=&r"(xer), "=&r"(cr), "=&d"(g)
        : "r"(a), "r"(b), "d"(f), "r"(getpid())
        : "r0", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r14", "r15", "fr14", "ctr",
          "xer", "cc", "memory");
    printf("survived %lx %lx ctr %lx xer %lx cr %lx f %g hits %d\n", result[0], result[1], ctr, xer,
           cr, g, hits);
}

static void nested(int number)
{
    static int depth;
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    printf("in %d depth %d blocks usr1 %d usr2 %d\n", number, ++depth, sigismember(&now, SIGUSR1),
           sigismember(&now, SIGUSR2));
    if (number == SIGUSR1)
        raise(SIGUSR2);
    printf("out %d depth %d\n", number, depth--);
}

static void nesting(void)
{
    sigset_t now;
    struct sigaction action = { .sa_handler = nested, .sa_flags = SA_NODEFER }, old;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, 0);
    action.sa_flags = SA_RESETHAND;
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGUSR2, &action, 0);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, 0, &now);
    sigaction(SIGUSR2, 0, &old);
    printf("after: blocks usr1 %d usr2 %d, usr2 default %d\n", sigismember(&now, SIGUSR1),
           sigismember(&now, SIGUSR2), old.sa_handler == SIG_DFL);
}

/* A handler that changes the mask and the place it returns to. */
static void redirected(void)
{
    ssize_t done = write(1, "redirected\n", 11);
    _exit(hits != 41 || done != 11);
}

static void redirect(int number, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    (void)number; (void)info;
    sigaddset(&frame->uc_sigmask, SIGHUP);
    GREGS(context)[NIP] = (unsigned long)redirected;
    hits = sigismember(&frame->uc_sigmask, SIGHUP) + 40;
}

int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    faults();
    traps();
    survive();
    nesting();
    install(SIGUSR1, redirect, 0);
    raise(SIGUSR1);
    return 1;
}

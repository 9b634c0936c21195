/* Operands of SSE that must be aligned: a processor refuses others, and says no address. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

static sigjmp_buf before;
static siginfo_t seen;
static int trap;
static char place[64] __attribute__((aligned(64)));

static void on_signal(int number, siginfo_t *info, void *context)
{
    seen = *info;
    trap = (int)((ucontext_t *)context)->uc_mcontext.gregs[REG_TRAPNO];
    siglongjmp(before, 1);
}

static void show(const char *what, int offset, int is_done)
{
    if (is_done)
        printf("%s at %d\n", what, offset);
    else
        printf("%s at %d: signal %d, code %d, address %d, trap %d\n", what, offset, seen.si_signo,
               seen.si_code, seen.si_addr != 0, trap);
}

/* In a loop that gets hot, of which only the last turn is at the offset. */
#define TRY(instruction, offset)                                                           \
    do {                                                                                   \
        int is_done = !sigsetjmp(before, 1);                                               \
        if (is_done)                                                                       \
            for (int turn = 0; turn <= 20000; turn++)                                      \
                __asm__ volatile(instruction                                               \
                                 : : "r"(place + (turn == 20000 ? offset : 0))             \
                                 : "xmm0", "memory");                                      \
        show(instruction, offset, is_done);                                                \
    } while (0)

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, 0);
    for (int offset = 0; offset <= 16; offset += 8) {
        TRY("movaps (%0), %%xmm0", offset);
        TRY("movaps %%xmm0, (%0)", offset);
        TRY("movdqa 16(%0), %%xmm0", offset);
        TRY("movntdq %%xmm0, (%0)", offset);
        TRY("movups (%0), %%xmm0", offset);
        TRY("movdqu %%xmm0, (%0)", offset);
        TRY("addps (%0), %%xmm0", offset);
        TRY("addsd (%0), %%xmm0", offset);
        TRY("paddd (%0), %%xmm0", offset);
        TRY("pshufd $1, (%0), %%xmm0", offset);
        TRY("cvtdq2pd (%0), %%xmm0", offset);
    }
    return 0;
}

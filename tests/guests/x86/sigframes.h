/* What the programs that look at signal frames of i386 and of x86-64 have in common. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int hits, code, number_seen;
static void *volatile address;

static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, 0);
}

/* Handlers on an alternate stack, one within the other. */
static char stack[65536];

static void on_stack(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    char here;
    stack_t now;
    (void)number, (void)info;
    sigaltstack(0, &now);
    printf("on alternate stack %d, flags %d, told %d %d\n", &here > stack && &here < stack + sizeof stack,
           now.ss_flags, context->uc_stack.ss_sp == stack, (int)context->uc_stack.ss_size);
    if (++hits < 3)
        raise(SIGUSR2);
}

static void alternate(void)
{
    stack_t wanted = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&wanted, 0);
    install(SIGUSR2, on_stack, SA_ONSTACK | SA_NODEFER);
    hits = 0;
    raise(SIGUSR2);
    stack_t off = { .ss_flags = SS_DISABLE };
    sigaltstack(&off, 0);
}

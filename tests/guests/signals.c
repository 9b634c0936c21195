/* Signals: handlers with information, masks, an alternate stack, faults survived, timers, restart. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static volatile int last_code, last_pid_is_ours, on_other_stack;
static void *volatile last_address;
static sigjmp_buf place;
static char other_stack[65536];

static void counting(int number) { (void)number; count++; }

static void informed(int number, siginfo_t *info, void *context)
{
    char here;
    (void)number; (void)context;
    count++;
    last_code = info->si_code;
    last_pid_is_ours = info->si_pid == getpid();
    on_other_stack = &here >= other_stack && &here < other_stack + sizeof other_stack;
}

static void faulted(int number, siginfo_t *info, void *context)
{
    (void)context;
    last_address = info->si_addr;
    last_code = info->si_code;
    siglongjmp(place, number);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, 0);
}

static void raised(void)
{
    stack_t stack = { .ss_sp = other_stack, .ss_size = sizeof other_stack };
    signal(SIGUSR1, counting);
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    printf("raised %d\n", (int)count);
    sigaltstack(&stack, 0);
    handle(SIGUSR2, informed, SA_ONSTACK);
    count = 0;
    kill(getpid(), SIGUSR2);
    printf("informed %d code %d ours %d other stack %d\n", (int)count, last_code == SI_USER, last_pid_is_ours,
           on_other_stack);
}

static void masked(void)
{
    sigset_t set, pending;
    count = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("blocked %d pending %d\n", (int)count, sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &set, 0);
    printf("unblocked %d\n", (int)count);
}

static void faults(void)
{
    char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_READ);
    handle(SIGSEGV, faulted, SA_ONSTACK);
    handle(SIGBUS, faulted, 0);
    int survived = 0, right = 0;
    for (volatile int i = 0; i < 300; i++) {
        char *target = i % 2 ? page + 4096 + i : (char *)(uintptr_t)(16 + i);
        if (sigsetjmp(place, 1) == 0)
            *(volatile char *)target = 1;
        else {
            survived++;
            right += last_address == (void *)target && last_code == (i % 2 ? SEGV_ACCERR : SEGV_MAPERR);
        }
    }
    printf("faults survived %d, told right %d\n", survived, right);
    signal(SIGSEGV, SIG_DFL);
}

static void timers(void)
{
    struct itimerval every = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
    volatile uint32_t spins = 0;
    count = 0;
    signal(SIGALRM, counting);
    setitimer(ITIMER_REAL, &every, 0);
    while (count < 20)
        spins++;
    setitimer(ITIMER_REAL, &never, 0);
    printf("timer %d spun %d\n", count >= 20, spins > 0);
}

static void restarted(void)
{
    int ends[2], status;
    char text[8] = "";
    if (pipe(ends) < 0)
        perror("pipe");
    for (int restart = 0; restart < 2; restart++) {
        handle(SIGUSR1, informed, restart ? SA_RESTART : 0);
        fflush(stdout);
        pid_t parent = getpid(), child = fork();
        if (child == 0) {
            usleep(50000);
            kill(parent, SIGUSR1);
            usleep(50000);
            _exit(write(ends[1], "x", 1) == 1 ? 5 : 6);
        }
        int got = (int)read(ends[0], text, 1);
        printf("read %d %s\n", got, got < 0 ? strerror(errno) : text);
        waitpid(child, &status, 0);
        printf("child %d\n", WEXITSTATUS(status));
        if (got < 0)
            printf("left over %d\n", (int)read(ends[0], text, 1));
    }
}

static void children(void)
{
    count = 0;
    handle(SIGCHLD, informed, SA_RESTART);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, 0, 0);
    for (int i = 0; i < 100 && !count; i++)
        usleep(1000);
    printf("children %d code %d\n", (int)count, last_code == CLD_EXITED);
}

int main(void)
{
    raised();
    masked();
    faults();
    timers();
    restarted();
    children();
    fflush(stdout);
    abort();
}

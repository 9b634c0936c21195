/* Signal frames of x86-64 Linux: registers as a handler sees them, and what it changes in them. */
#include "../x86/sigframes.h"

/* Indices of gregs, which are those of the kernel's struct sigcontext. */
enum { R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFL,
       CSGSFS, ERR, TRAPNO, OLDMASK, CR2 };

static greg_t seen[23];
static int skip_bytes;

/* Step over the instruction that faulted, and give it a result. */
static void fix_up(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    hits++;
    number_seen = number;
    code = info->si_code;
    address = info->si_addr;
    memcpy(seen, regs, sizeof seen);
    regs[RAX] = 0x123456789;
    regs[RIP] += skip_bytes;
}

__attribute__((noinline)) static unsigned long load(void *from)
{
    unsigned long result = (unsigned long)from;
    __asm__ volatile("movq (%%rax), %%rax" : "+a"(result) : : "memory");
    return result;
}

__attribute__((noinline)) static void store(void *to)
{
    __asm__ volatile("movq %%rax, (%%rax)" : : "a"(to) : "memory");
}

static void show(const char *what, char *base)
{
    printf("%s: hits %d signal %d code %d address %ld trap %d err %x cr2 %ld\n", what, hits,
           number_seen, code, (long)((char *)address - base), (int)seen[TRAPNO], (int)seen[ERR],
           (long)((char *)seen[CR2] - base));
    hits = 0;
}

static void faults(void)
{
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    install(SIGSEGV, fix_up, 0);
    skip_bytes = 3;
    *(volatile char *)page;
    store(page + 32);
    show("store to read-only", page);
    munmap(page, 4096);
    unsigned long got = load(page + 8);
    show("load of nothing", page);
    printf("result %lx\n", got);
    for (int i = 0; i < 5000; i++)
        got += load(page + i % 4096);
    printf("hits %d sum %lx\n", hits, got);
    hits = 0;
    load((void *)0x8000000000000000);
    printf("not canonical: hits %d code %d address %lx trap %d err %x\n", hits, code, (long)address,
           (int)seen[TRAPNO], (int)seen[ERR]);
    hits = 0;
}

static jmp_buf out;

static void leave(int number, siginfo_t *info, void *context)
{
    fix_up(number, info, context);
    siglongjmp(out, 1);
}

static void bad_jumps(void)
{
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    install(SIGSEGV, leave, SA_NODEFER);
    memset(page, 0xc3, 4096);
    if (!sigsetjmp(out, 1))
        ((void (*)(void))(page + 5))();
    printf("jump to data: code %d address %d trap %d err %x rip %d\n", code, address == page + 5,
           (int)seen[TRAPNO], (int)seen[ERR], seen[RIP] == (greg_t)(page + 5));
    munmap(page, 4096);
    if (!sigsetjmp(out, 1))
        ((void (*)(void))(page + 5))();
    printf("jump to nothing: code %d address %d trap %d err %x rip %d\n", code, address == page + 5,
           (int)seen[TRAPNO], (int)seen[ERR], seen[RIP] == (greg_t)(page + 5));
    hits = 0;
}

static void traps(void)
{
    install(SIGTRAP, fix_up, 0);
    install(SIGILL, fix_up, 0);
    install(SIGFPE, fix_up, 0);
    install(SIGSEGV, fix_up, 0);
    skip_bytes = 0;
    __asm__ volatile("int3" : : : "rax");
    printf("int3: signal %d code %d address %lx trap %d\n", number_seen, code, (long)address, (int)seen[TRAPNO]);
    skip_bytes = 2;
    __asm__ volatile("ud2" : : : "rax");
    printf("ud2: signal %d code %d here %d trap %d\n", number_seen, code,
           address == (void *)seen[RIP], (int)seen[TRAPNO]);
    __asm__ volatile("div %%ecx" : : "a"(1), "d"(0), "c"(0) : "cc");
    printf("div: signal %d code %d here %d trap %d\n", number_seen, code,
           address == (void *)seen[RIP], (int)seen[TRAPNO]);
    __asm__ volatile("div %%ecx" : : "a"(1), "d"(5), "c"(5) : "cc");
    printf("div overflow: signal %d code %d here %d trap %d\n", number_seen, code,
           address == (void *)seen[RIP], (int)seen[TRAPNO]);
    skip_bytes = 1;
    __asm__ volatile("hlt" : : : "rax");
    printf("hlt: signal %d code %d address %lx trap %d err %x\n", number_seen, code, (long)address,
           (int)seen[TRAPNO], (int)seen[ERR]);
    hits = 0;
}

/* Every register survives a handler that uses them all. */
static void spoil(int number)
{
    hits += number == SIGUSR1;
    __asm__ volatile(
        "movq $-1, %%r8; movq %%r8, %%r9; movq %%r8, %%r10; movq %%r8, %%r11; std; cld\n"
        "pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15\n"
        "cmpq $0, %%r8\n"
        : : : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
              "r14", "r15", "cc", "xmm0", "xmm7", "xmm15");
}

void send_to_self(const uint64_t *before, uint64_t *after, int pid);
__asm__(".text\n.type send_to_self, @function\nsend_to_self:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n"
        "mov 0(%rdi), %rbx; mov 8(%rdi), %rbp; mov 16(%rdi), %r8; mov 24(%rdi), %r9\n"
        "mov 32(%rdi), %r10; mov 40(%rdi), %r12; mov 48(%rdi), %r13; mov 56(%rdi), %r14\n"
        "mov 64(%rdi), %r15; movdqu 72(%rdi), %xmm7; movdqu 88(%rdi), %xmm15\n"
        "mov 104(%rdi), %rax; mov %rax, -8(%rsp); mov %rax, -128(%rsp)\n"
        "mov %edx, %edi; mov $10, %esi; mov $62, %eax; std; stc; syscall; cld\n"
        "mov (%rsp), %rdi; mov %rbx, 0(%rdi); mov %rbp, 8(%rdi); mov %r8, 16(%rdi)\n"
        "mov %r9, 24(%rdi); mov %r10, 32(%rdi); mov %r12, 40(%rdi); mov %r13, 48(%rdi)\n"
        "mov %r14, 56(%rdi); mov %r15, 64(%rdi); movdqu %xmm7, 72(%rdi); movdqu %xmm15, 88(%rdi)\n"
        "setc 112(%rdi); mov -8(%rsp), %rcx; mov %rcx, 104(%rdi)\n"
        "mov -128(%rsp), %rcx; mov %rcx, 120(%rdi)\n"
        "pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

static void survive(void)
{
    uint64_t before[16], after[16] = { 0 };
    for (int i = 0; i < 16; i++)
        before[i] = 0x0101010101010101u * (i + 1);
    before[14] = 1;
    before[15] = before[13];
    signal(SIGUSR1, spoil);
    hits = 0;
    send_to_self(before, after, getpid());
    printf("survived %d hits %d\n", memcmp(before, after, sizeof before) == 0, hits);
    for (int i = 0; i < 16; i++)
        if (before[i] != after[i])
            printf("%d: %lx became %lx\n", i, before[i], after[i]);
}

static volatile int flags_seen;

static void check_frame(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    mcontext_t *machine = &context->uc_mcontext;
    (void)info;
    printf("signal %d: cs %x ss %x fs-gs %x mask usr2 %d link %lx flags ok %d\n", number,
           (int)(machine->gregs[CSGSFS] & 0xffff), (int)(machine->gregs[CSGSFS] >> 48 & 0xffff),
           (int)(machine->gregs[CSGSFS] >> 16 & 0xffff), sigismember(&context->uc_sigmask, SIGUSR2),
           (long)context->uc_link, (context->uc_flags & 6) == 6);
    printf("oldmask %llx fpstate aligned %d above %d fcw %x mxcsr %x\n",
           (unsigned long long)machine->gregs[OLDMASK], ((uintptr_t)machine->fpregs & 63) == 0,
           (char *)machine->fpregs > (char *)context, machine->fpregs->cwd, machine->fpregs->mxcsr);
    printf("frame alignment %d red zone %d\n", (int)((uintptr_t)context & 15),
           machine->gregs[RSP] - (greg_t)machine->fpregs >= 512 + 128);
    flags_seen = machine->gregs[EFL] & 0x400;
}

static void frame(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    install(SIGUSR1, check_frame, 0);
    unsigned mxcsr = 0x1fa0, now;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    raise(SIGUSR1);
    __asm__ volatile("stmxcsr %0" : "=m"(now));
    printf("mxcsr after %x\n", now);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

/* A handler changes what the program goes on with. */
static void change(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    (void)number, (void)info;
    context->uc_mcontext.gregs[R12] = 4711;
    context->uc_mcontext.gregs[EFL] |= 1;
    context->uc_mcontext.fpregs->_xmm[9].element[0] = 0xabcdef;
    sigaddset(&context->uc_sigmask, SIGUSR2);
}

static void changes(void)
{
    uint64_t r12, xmm, carry;
    sigset_t now;
    install(SIGUSR1, change, 0);
    int pid = getpid();
    __asm__ volatile(
        "xorl %%r12d, %%r12d; pxor %%xmm9, %%xmm9; movl $62, %%eax; clc; syscall\n"
        "setc %b2; movzbl %b2, %k2; movq %%r12, %0; movq %%xmm9, %1\n"
        : "=&r"(r12), "=&r"(xmm), "=&q"(carry) : "D"(pid), "S"(10)
        : "rax", "rcx", "r11", "r12", "xmm9", "cc", "memory");
    sigprocmask(SIG_BLOCK, 0, &now);
    printf("changed: r12 %lu xmm9 %lx carry %lu blocked %d\n", r12, xmm, carry, sigismember(&now, SIGUSR2));
    sigemptyset(&now);
    sigprocmask(SIG_SETMASK, &now, 0);
}

int main(void)
{
    faults();
    bad_jumps();
    traps();
    survive();
    frame();
    changes();
    alternate();
    return 0;
}

/* Signal frames of i386 Linux: registers as a handler sees them, and what it changes in them. */
#include "../x86/sigframes.h"

/* Indices of gregs, which are those of the kernel's struct sigcontext. */
enum { GS, FS, ES, DS, EDI, ESI, EBP, ESP, EBX, EDX, ECX, EAX, TRAPNO, ERR, EIP, CS, EFL, UESP, SS };

static greg_t seen[19];
static unsigned long cr2;
static int skip_bytes;

/* Step over the instruction that faulted, and give it a result. */
static void fix_up(int number, siginfo_t *info, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    hits++;
    number_seen = number;
    code = info->si_code;
    address = info->si_addr;
    cr2 = machine->cr2;
    memcpy(seen, machine->gregs, sizeof seen);
    machine->gregs[EAX] = 0x1234567;
    machine->gregs[EIP] += skip_bytes;
}

__attribute__((noinline)) static unsigned long load(void *from)
{
    unsigned long result = (unsigned long)from;
    __asm__ volatile("movl (%%eax), %%eax" : "+a"(result) : : "memory");
    return result;
}

__attribute__((noinline)) static void store(void *to)
{
    __asm__ volatile("movl %%eax, (%%eax)" : : "a"(to) : "memory");
}

static void show(const char *what, char *base)
{
    printf("%s: hits %d signal %d code %d address %ld trap %d err %x cr2 %ld\n", what, hits,
           number_seen, code, (long)((char *)address - base), seen[TRAPNO], seen[ERR],
           (long)(cr2 - (unsigned long)base));
    hits = 0;
}

static void faults(void)
{
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    install(SIGSEGV, fix_up, 0);
    skip_bytes = 2;
    *(volatile char *)page;
    store(page + 32);
    show("store to read-only", page);
    munmap(page, 4096);
    unsigned long got = load(page + 8);
    show("load of nothing", page);
    printf("result %lx\n", got);
    got = 0;
    for (int i = 0; i < 5000; i++)
        got += load(page + i % 4096);
    printf("hits %d sum %lx\n", hits, got);
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
    printf("jump to data: code %d address %d trap %d eip %d\n", code, address == page + 5,
           seen[TRAPNO], seen[EIP] == (greg_t)(page + 5));
    munmap(page, 4096);
    if (!sigsetjmp(out, 1))
        ((void (*)(void))(page + 5))();
    printf("jump to nothing: code %d address %d trap %d eip %d\n", code, address == page + 5,
           seen[TRAPNO], seen[EIP] == (greg_t)(page + 5));
    hits = 0;
}

static void report(const char *what)
{
    printf("%s: hits %d signal %d code %d here %d trap %d err %x\n", what, hits, number_seen, code,
           address == (void *)seen[EIP], seen[TRAPNO], seen[ERR]);
    hits = 0;
}

static void traps(void)
{
    static const int bounds[2] = { 1, 5 };
    install(SIGTRAP, fix_up, 0);
    install(SIGILL, fix_up, 0);
    install(SIGFPE, fix_up, 0);
    install(SIGSEGV, fix_up, 0);
    skip_bytes = 0;
    __asm__ volatile("int3" : : : "eax");
    report("int3");
    __asm__ volatile("movb $0x7f, %%al; addb $1, %%al; into" : : : "eax", "cc");
    report("into");
    __asm__ volatile("xorl %%eax, %%eax; into" : : : "eax", "cc");
    report("no overflow");
    skip_bytes = 2;
    __asm__ volatile("ud2" : : : "eax");
    report("ud2");
    __asm__ volatile("divl %%ecx" : : "a"(1), "d"(0), "c"(0) : "cc");
    report("div");
    __asm__ volatile("idivl %%ecx" : : "a"(0x80000000), "d"(-1), "c"(-1) : "cc");
    report("idiv overflow");
    __asm__ volatile("bound %0, (%1)" : : "r"(6), "b"(bounds) : "eax");
    report("bound");
    __asm__ volatile("bound %0, (%1)" : : "r"(3), "b"(bounds) : "eax");
    report("within bounds");
    __asm__ volatile("int $0x42" : : : "eax");
    report("int 0x42");
    skip_bytes = 1;
    __asm__ volatile("hlt" : : : "eax");
    report("hlt");
    install(SIGSEGV, leave, SA_NODEFER);
    if (!sigsetjmp(out, 1))
        __asm__ volatile("movl %%ecx, %%fs" : : "c"(0x1237));
    printf("bad selector: hits %d signal %d code %d trap %d err %x\n", hits, number_seen, code,
           seen[TRAPNO], seen[ERR]);
    hits = 0;
}

/* Every register survives a handler that uses them all. */
static void spoil(int number)
{
    hits += number == SIGUSR1;
    __asm__ volatile("std; cld; fldpi; fldl2e; fldlg2; fstp %%st(1); fstp %%st(0); fstp %%st(0)\n"
                     "pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm7; cmpl $0, %%esp\n"
                     : : : "eax", "ecx", "edx", "esi", "edi", "cc");
}

void send_to_self(const uint32_t *before, uint32_t *after, int pid);
__asm__(".text\n.type send_to_self, @function\nsend_to_self:\n"
        "pushl %ebx; pushl %ebp; pushl %esi; pushl %edi\n"
        "movl 20(%esp), %eax; fldl 16(%eax); movdqu 24(%eax), %xmm7\n"
        "movl 28(%esp), %ebx; movl 0(%eax), %edx; movl 4(%eax), %esi; movl 8(%eax), %edi\n"
        "movl 12(%eax), %ebp; movl $10, %ecx; movl $37, %eax; std; stc; int $0x80; cld\n"
        "movl 24(%esp), %eax; movl %edx, 0(%eax); movl %esi, 4(%eax); movl %edi, 8(%eax)\n"
        "movl %ebp, 12(%eax); fstpl 16(%eax); movdqu %xmm7, 24(%eax); setc 40(%eax)\n"
        "popl %edi; popl %esi; popl %ebp; popl %ebx; ret\n");

static void survive(void)
{
    uint32_t before[11], after[11] = { 0 };
    for (int i = 0; i < 11; i++)
        before[i] = 0x01010101u * (i + 1);
    before[10] = 1;
    signal(SIGUSR1, spoil);
    hits = 0;
    send_to_self(before, after, getpid());
    printf("survived %d hits %d\n", memcmp(before, after, sizeof before) == 0, hits);
    for (int i = 0; i < 11; i++)
        if (before[i] != after[i])
            printf("%d: %x became %x\n", i, before[i], after[i]);
}

static void check_frame(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    mcontext_t *machine = &context->uc_mcontext;
    uintptr_t frame = (uintptr_t)info & -16;
    unsigned short control;
    unsigned mxcsr = ((unsigned *)machine->fpregs)[28 + 6];
    printf("signal %d: cs %x ss %x ds %x es %x fs %x mask usr2 %d link %d\n", number,
           machine->gregs[CS], machine->gregs[SS], machine->gregs[DS], machine->gregs[ES],
           machine->gregs[FS], sigismember(&context->uc_sigmask, SIGUSR2), context->uc_link != 0);
    printf("oldmask %lx fpstate %d above %d cw %lx tag %lx mxcsr %x\n", machine->oldmask,
           (int)((uintptr_t)machine->fpregs & 63), (char *)machine->fpregs > (char *)context,
           machine->fpregs->cw, machine->fpregs->tag, mxcsr);
    __asm__ volatile("fnstcw %0; stmxcsr %1" : "=m"(control), "=m"(mxcsr));
    printf("order %d handler's cw %x mxcsr %x\n", (uintptr_t)info < (uintptr_t)context && frame,
           control, mxcsr);
}

static void frame(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    install(SIGUSR1, check_frame, 0);
    unsigned mxcsr = 0x1fa0, now;
    unsigned short control = 0x27f, control_now;
    __asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(control));
    raise(SIGUSR1);
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(now), "=m"(control_now));
    printf("afterwards mxcsr %x cw %x\n", now, control_now);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0; fninit" : : "m"(mxcsr));
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

/* A handler without SA_SIGINFO gets the registers on the stack behind the number. */
static void old_style(int number, struct sigcontext context)
{
    printf("old handler: signal %d usr1 %d esp %d\n", number, number == SIGUSR1,
           context.esp == context.esp_at_signal);
    context.ebx = 4711;
    __asm__ volatile("" : : "g"(&context) : "memory");
}

static void old_frame(void)
{
    int ebx, pid = getpid();
    signal(SIGUSR1, (void (*)(int))old_style);
    __asm__ volatile("pushl %%ebx; movl %1, %%ebx; movl $37, %%eax; int $0x80; movl %%ebx, %0; popl %%ebx"
                     : "=&S"(ebx) : "d"(pid), "c"(SIGUSR1) : "eax", "memory");
    printf("ebx %d\n", ebx);
}

/* A handler changes what the program goes on with. */
static void change(int number, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    (void)number, (void)info;
    context->uc_mcontext.gregs[ESI] = 4711;
    context->uc_mcontext.gregs[EFL] |= 1;
    ((unsigned *)context->uc_mcontext.fpregs)[28 + 40 + 4 * 3] = 0xabcdef;
    context->uc_mcontext.fpregs->_st[0].exponent ^= 0x8000;
    sigaddset(&context->uc_sigmask, SIGUSR2);
}

static void changes(void)
{
    uint32_t esi, xmm;
    unsigned char carry;
    double top = 1.25;
    sigset_t now;
    install(SIGUSR1, change, 0);
    int pid = getpid();
    __asm__ volatile(
        "pushl %%ebx; movl %4, %%ebx; fldl %3; pxor %%xmm3, %%xmm3; xorl %%esi, %%esi\n"
        "movl $10, %%ecx; movl $37, %%eax; clc; int $0x80; setc %%cl; fstpl %3; movd %%xmm3, %%edx\n"
        "popl %%ebx\n"
        : "=&S"(esi), "=&d"(xmm), "=&c"(carry), "+m"(top) : "D"(pid)
        : "eax", "cc", "memory");
    sigprocmask(SIG_BLOCK, 0, &now);
    printf("changed: esi %u xmm3 %x carry %d st0 %g blocked %d\n", esi, xmm, carry, top,
           sigismember(&now, SIGUSR2));
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
    old_frame();
    changes();
    alternate();
    return 0;
}

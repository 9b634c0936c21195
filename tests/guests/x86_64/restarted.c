/* Repeated string instructions that fault half-way: registers are those of the element that
   faulted, and the instruction goes on when the handler has given it the page. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "../check.h"

enum { PAGE = 4096, PAGES = 6 };

static unsigned char *memory;
static int faults;

#ifdef __x86_64__
enum { C = REG_RCX, S = REG_RSI, D = REG_RDI, FLAGS = REG_EFL };
#else
enum { C = REG_ECX, S = REG_ESI, D = REG_EDI, FLAGS = REG_EFL };
#endif

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)memory;
    faults++;
    check(number);
    check(at / PAGE);
    check(registers[C]);
    check(registers[S] - (greg_t)memory);
    check(registers[D] - (greg_t)memory);
    check(registers[FLAGS] & 0x4d5);
    if (mprotect(memory + at / PAGE * PAGE, PAGE, PROT_READ | PROT_WRITE))
        check(1);
}

static void finish(const char *what, uintptr_t a, uintptr_t c, unsigned char *s, unsigned char *d)
{
    check(a);
    check(c);
    check(s - memory);
    check(d - memory);
    check(faults);
    for (int page = 0; page < PAGES; page++)
        if (mprotect(memory + page * PAGE, PAGE, PROT_READ | PROT_WRITE))
            check(1);
    for (int i = 0; i < PAGES * PAGE; i++)
        if (memory[i] != 7)
            check(memory[i] + 256 * i);
    check_print(what);
}

static void start(int source_page, int target_page)
{
    faults = 0;
    memset(memory, 7, PAGES * PAGE);
    for (int i = 0; i < PAGES * PAGE; i += 3)
        memory[i] = 7 + (i % 5 == 0);
    for (int page = 0; page < PAGES; page++)
        if (page == source_page || page == target_page)
            if (mprotect(memory + page * PAGE, PAGE, PROT_NONE))
                check(1);
}

#define TRY(text, count, source, target, bad_source, bad_target)                                   \
    do {                                                                                           \
        uintptr_t a = 0x07070707, c = (count);                                                     \
        unsigned char *s = memory + (source), *d = memory + (target);                              \
        start(bad_source, bad_target);                                                             \
        asm volatile("cmp $1, %%al\n " text "\n cld"                                               \
                     : "+a"(a), "+c"(c), "+S"(s), "+D"(d) : : "memory", "cc");                     \
        finish(text, a, c, s, d);                                                                  \
    } while (0)

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int turn = 0; turn < 3; turn++) {
        TRY("rep movsb", 2 * PAGE, 100, 3 * PAGE + 50, 1, 4);
        TRY("rep movsb", 2 * PAGE, 100, 3 * PAGE + 50, 2, 3);
        TRY("rep movsl", PAGE / 2, 102, 3 * PAGE + 51, 1, 4);
        TRY("rep movsw", PAGE / 2, 4095, 3 * PAGE + 51, 1, 3);
        TRY("std; rep movsb", 2 * PAGE, 3 * PAGE - 5, 5 * PAGE + 50, 1, 4);
        TRY("std; rep movsl", PAGE / 2, 3 * PAGE - 5, 5 * PAGE + 50, 2, 4);
        TRY("rep stosb", 3 * PAGE, 0, PAGE + 9, -1, 3);
        TRY("rep stosl", PAGE, 0, PAGE + 9, -1, 4);
        TRY("std; rep stosw", PAGE, 0, 4 * PAGE + 9, -1, 3);
        TRY("repne scasb", 2 * PAGE, 0, 4090, -1, 1);
        TRY("repe scasb", 2 * PAGE, 0, 4090, -1, 1);
        TRY("repe cmpsb", 2 * PAGE, 0, 30, 0, 0);
        TRY("repe cmpsl", PAGE, 15, 15 + PAGE * 2, 1, 3);
        TRY("repne cmpsb", PAGE, 15, 14 + PAGE * 2, 1, 3);
        TRY("rep lodsb", PAGE, 15, 0, 1, -1);
    }
    return 0;
}

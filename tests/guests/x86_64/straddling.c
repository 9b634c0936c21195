/* Instructions that lie on two pages; code on the stack; code that another thread changes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef int (*function)(int);
static uint8_t *pages;
static sigjmp_buf back;
static long where, at;

static void on_fault(int number, siginfo_t *info, void *context)
{
    where = (uint8_t *)info->si_addr - pages;
    at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] - (long)pages;
    siglongjmp(back, number);
}

static int call(uint8_t *code, int argument)
{
    int number = sigsetjmp(back, 1);
    if (number) {
        printf("  signal %d, address %ld, pc %ld\n", number, where, at);
        return -1;
    }
    return ((function)code)(argument);
}

/* add edi, 1; mov eax, edi; add eax, 0x01020304; ret: `before` bytes of the last add are on the
   first page. */
static uint8_t *place(int before)
{
    static const uint8_t text[] = { 0x83, 0xc7, 1, 0x89, 0xf8, 0x05, 4, 3, 2, 1, 0xc3 };
    uint8_t *code = pages + 4096 - 5 - before;
    memcpy(code, text, sizeof text);
    return code;
}

static void unreadable(void)
{
    for (int before = 0; before < 6; before++) {
        uint8_t *code = place(before);
        mprotect(pages + 4096, 4096, PROT_NONE);
        printf("%d on the first page\n", before);
        call(code, 7);
        mprotect(pages + 4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
        printf("  %d\n", call(code, 7));
    }
}

/* test edi, edi; jz 2f; nop; jmp 1f; 2: xor eax, eax; ret; 1: mov eax, 42; ret */
static void not_reached(void)
{
    uint8_t *code = pages + 4096 - 11;
    memcpy(code, "\x85\xff\x74\x03\x90\xeb\x03\x31\xc0\xc3", 10);
    code[10] = 0xb8; /* of the mov only the opcode is on the first page */
    memcpy(pages + 4096, "\x2a\0\0\0\xc3", 5);
    mprotect(pages + 4096, 4096, PROT_NONE);
    printf("not reached %d\n", call(code, 0));
    call(code, 1);
    mprotect(pages + 4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    printf("reached %d\n", call(code, 1));
}

static void changed(int before)
{
    long sum = 0;
    uint8_t *code = place(before);
    for (int i = 0; i < 3000; i++) {
        pages[4096 + 4 - before] = i; /* the second byte of the constant, or one near it */
        sum += call(code, i);
    }
    printf("changed %ld\n", sum);
}

static int on_the_stack(int count)
{
    uint8_t code[16];
    int total = 0;
    uint8_t *page = (uint8_t *)((uintptr_t)code & -4096);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    memcpy(code, "\x8d\x47\x01\xc3", 5); /* lea eax, [rdi + 1]; ret */
    for (int i = 0; i < count; i++)
        total += ((function)code)(i & 255);
    return total;
}

static volatile int done;

static void *patching(void *code)
{
    for (int i = 1; i <= 40; i++) {
        for (volatile int k = 0; k < 2000; k++)
            ;
        ((volatile uint8_t *)code)[1] = i;
    }
    done = 1;
    return 0;
}

static void by_another_thread(void)
{
    uint8_t *code = pages;
    memcpy(code, "\xb8\0\0\0\0\xc3", 6);
    pthread_t thread;
    pthread_create(&thread, 0, patching, code);
    int last = 0, wrong = 0;
    while (!done) {
        int now = ((function)code)(0);
        wrong += now < last;
        last = now;
    }
    pthread_join(thread, 0);
    printf("another thread %d, backwards %d\n", ((function)code)(0), wrong);
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, 0);
    pages = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unreadable();
    not_reached();
    changed(1);
    changed(3);
    printf("stack %d\n", on_the_stack(50000));
    by_another_thread();
    return 0;
}

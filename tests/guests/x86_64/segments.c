/* What only x86-64 Linux has: bases of segments, the vsyscall page, registers that calls spoil. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SET_GS = 0x1001, SET_FS, GET_FS, GET_GS };

static unsigned long gs_block[4] = { 11, 22, 33, 44 };
static __thread long mine = 5;

static unsigned long gs_word(unsigned long offset)
{
    unsigned long result;
    __asm__ volatile("movq %%gs:(%1), %0" : "=r"(result) : "r"(offset));
    return result;
}

static void *other(void *argument)
{
    unsigned long base = 1;
    mine += (long)argument;
    syscall(SYS_arch_prctl, GET_GS, &base);
    printf("thread: own %ld gs base %d\n", mine, base == (unsigned long)gs_block);
    syscall(SYS_arch_prctl, SET_GS, gs_block + 2);
    printf("thread: %lu\n", gs_word(0));
    return 0;
}

int main(void)
{
    unsigned long fs = 0, gs = 1, direct;
    long status = syscall(SYS_arch_prctl, GET_FS, &fs);
    __asm__("movq %%fs:0, %0" : "=r"(direct));
    printf("fs %ld %d\n", status, fs == direct);
    status = syscall(SYS_arch_prctl, GET_GS, &gs);
    printf("gs %ld %lu\n", status, gs);
    syscall(SYS_arch_prctl, SET_GS, gs_block);
    __asm__ volatile("movq %0, %%gs:24" : : "r"(55ul) : "memory");
    printf("through gs %lu %lu %lu\n", gs_word(8), gs_word(0), gs_block[3]);
    status = syscall(SYS_arch_prctl, SET_GS, 1ul << 62);
    printf("bad address %ld %d\n", status, errno);
    status = syscall(SYS_arch_prctl, 0x4711, 0);
    printf("bad option %ld %d\n", status, errno);
    pthread_t thread;
    pthread_create(&thread, 0, other, (void *)7);
    pthread_join(thread, 0);
    printf("mine %ld %lu\n", mine, gs_word(0));

    struct timeval now, then;
    long (*entry)(struct timeval *, void *) = (void *)0xffffffffff600000;
    time_t (*entry_time)(time_t *) = (void *)0xffffffffff600400;
    gettimeofday(&now, 0);
    status = entry(&then, 0);
    printf("vsyscall %ld %d\n", status, then.tv_sec - now.tv_sec <= 1);
    time_t told = 0, answer = entry_time(&told);
    printf("vsyscall time %d %d\n", told == answer, answer - now.tv_sec <= 1);

    unsigned long rcx, r11, next, flags;
    __asm__ volatile("stc; pushfq; popq %3; movl $39, %%eax; leaq 1f(%%rip), %2; syscall\n1:\n"
                     "movq %%rcx, %0; movq %%r11, %1"
                     : "=&r"(rcx), "=&r"(r11), "=&r"(next), "=&r"(flags) : : "rax", "rcx", "r11", "cc");
    printf("rcx %d r11 %d\n", rcx == next, r11 == flags);
    __asm__ volatile("movl $0x7fffffff, %%eax; syscall" : "=a"(status) : : "rcx", "r11");
    printf("no such call %ld\n", status);
    return 0;
}

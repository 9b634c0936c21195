/* System calls of i386 from 64-bit code, by int 0x80: numbers, registers and structures are theirs. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITE = 4, GETPID = 20, GETTIMEOFDAY = 78, WRITEV = 146, NANOSLEEP = 162, MMAP2 = 192,
       LSEEK = 19, LLSEEK = 140, FSTAT64 = 197, GETUID32 = 199, SIGPROCMASK = 175, MUNMAP = 91,
       UNAME = 122, EXIT = 1 };

static long gate(long number, long b, long c, long d, long si, long di, long bp)
{
    long result;
    register long r8 __asm__("r8") = 0x1111111111111111;
    register long r11 __asm__("r11") = 0x2222222222222222;
    __asm__ volatile("push %%rbp; mov %[bp], %%rbp; int $0x80; pop %%rbp"
                     : "=a"(result), "+r"(r8), "+r"(r11)
                     : "a"(number), "b"(b), "c"(c), "d"(d), "S"(si), "D"(di), [bp] "r"(bp)
                     : "memory", "r9", "r10");
    if (r8 != 0x1111111111111111 || r11 != 0x2222222222222222)
        printf("r8 %lx r11 %lx\n", r8, r11);
    return result;
}

struct pair { uint32_t base, length; };

int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    char *low = (char *)gate(MMAP2, 0, 8192, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("low memory: %d\n", (uintptr_t)low < 1ul << 32 && (uintptr_t)low > 4096);
    strcpy(low, "through the gate\n");
    printf("written: %ld\n", gate(WRITE, 1, (long)low, 17, 0, 0, 0));
    struct pair *vector = (struct pair *)(low + 4096);
    vector[0] = (struct pair){ (uint32_t)(uintptr_t)low, 8 };
    vector[1] = (struct pair){ (uint32_t)(uintptr_t)low + 7, 10 };
    printf("written: %ld\n", gate(WRITEV, 1, (long)vector, 2, 0, 0, 0));
    printf("pid: %d\n", gate(GETPID | 0x5500000000, 0, 0, 0, 0, 0, 0) == getpid());
    printf("uid: %d\n", gate(GETUID32, 0, 0, 0, 0, 0, 0) == getuid());
    printf("bad descriptor: %ld\n", gate(WRITE, 12345, (long)low, 1, 0, 0, 0));
    printf("high address: %ld\n", gate(WRITE, 1, (long)&vector, 0, 0, 0, 0));
    printf("unknown call: %ld\n", gate(4000, 0, 0, 0, 0, 0, 0));
    int32_t *time = (int32_t *)(low + 4096);
    time[0] = time[1] = time[2] = -1;
    long status = gate(GETTIMEOFDAY, (long)time, 0, 0, 0, 0, 0);
    printf("time: %ld %d %d\n", status,
           time[0] > 1000000000 && time[1] >= 0 && time[1] < 1000000, time[2]);
    time[0] = 0;
    time[1] = 1000;
    printf("sleep: %ld\n", gate(NANOSLEEP, (long)time, 0, 0, 0, 0, 0));
    memset(low, 0x55, 400);
    status = gate(UNAME, (long)low, 0, 0, 0, 0, 0);
    printf("uname: %ld %s %s\n", status, low, low + 4 * 65);
    printf("unmapped: %ld\n", gate(MUNMAP, (long)low, 8192, 0, 0, 0, 0));
    printf("unmapped: %ld\n", gate(WRITE, 1, (long)low, 17, 0, 0, 0));
    gate(EXIT, 7, 0, 0, 0, 0, 0);
    return 0;
}

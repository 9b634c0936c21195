/* First forms of system calls, which C libraries do not use any more, and pairs of registers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/* C libraries with a 64-bit off_t or time_t only do not name these. */
enum { GETLK64 = 12, SETLK64 = 13, CLOCK_GETTIME32 = 265 };

struct old_sigaction { void (*handler)(int); unsigned long mask, flags; void (*restorer)(void); };
struct kernel_stat64 {
    uint64_t dev; uint8_t pad0[4]; uint32_t ino32, mode, nlink, uid, gid; uint64_t rdev;
    uint8_t pad3[4]; int64_t size __attribute__((packed)); uint32_t blksize;
    uint64_t blocks __attribute__((packed));
    uint32_t times[6]; uint64_t ino __attribute__((packed));
};

static volatile int hits;

static void count(int number)
{
    hits += number;
}

static void files(void)
{
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0640);
    char text[8] = { 0 };
    struct kernel_stat64 now;
    struct stat known;
    uint64_t place;
    printf("write %zd\n", write(fd, "0123456789", 10));
    printf("pread %ld %s\n", syscall(SYS_pread64, fd, text, 4, 3, 0), text);
    printf("pwrite %ld\n", syscall(SYS_pwrite64, fd, "end", 3, 5, 1));
    printf("llseek %ld", syscall(SYS__llseek, fd, 1, 2, &place, SEEK_SET));
    printf(" %llx\n", (unsigned long long)place);
    printf("ftruncate64 %ld", syscall(SYS_ftruncate64, fd, 7, 2));
    fstat(fd, &known);
    printf(" stat64 %ld", syscall(SYS_stat64, "file", &now));
    printf(" %llx %d %d %d\n", (long long)now.size, now.ino == known.st_ino,
           now.ino32 == (uint32_t)known.st_ino, now.mode);
    printf("truncate64 %ld\n", syscall(SYS_truncate64, "file", 20, 0));
    printf("fadvise %ld %ld\n", syscall(SYS_fadvise64, fd, 0, 0, 100, POSIX_FADV_NORMAL),
           syscall(SYS_fadvise64_64, fd, 0, 0, 100, 0, POSIX_FADV_DONTNEED));
    printf("readahead %ld sync %ld\n", syscall(SYS_readahead, fd, 0, 0, 10),
           syscall(SYS_sync_file_range, fd, 0, 0, 10, 0, 2));
    struct { int16_t type, whence; int64_t start __attribute__((packed)), len __attribute__((packed));
             int32_t pid; } lock = { F_WRLCK, SEEK_SET, 1, 5, 0 };
    printf("lock %ld\n", syscall(SYS_fcntl64, fd, SETLK64, &lock));
    lock.type = F_RDLCK;
    printf("getlk %ld", syscall(SYS_fcntl64, fd, GETLK64, &lock));
    printf(" %d\n", lock.type == F_UNLCK);
    close(fd);
    unlink("file");
}

static void ids(void)
{
    uint16_t real, effective, saved, groups[64];
    int small = getuid() < 65535;
    printf("uid %d\n", !small || syscall(SYS_getuid) == (long)getuid());
    printf("triple %ld", syscall(SYS_getresuid, &real, &effective, &saved));
    printf(" %d\n", !small || (real == getuid() && saved == geteuid()));
    printf("groups %d\n", syscall(SYS_getgroups, 64, groups) >= 0);
    printf("setreuid %ld\n", syscall(SYS_setreuid, 0xffff, 0xffff));
    FILE *file = fopen("owned", "w");
    printf("chown %ld\n", syscall(SYS_chown, "owned", 0xffff, 0xffff));
    fclose(file);
    unlink("owned");
}

static void signals(void)
{
    struct old_sigaction action = { count, 1u << (SIGUSR2 - 1), 0, 0 }, old;
    unsigned long before, pending;
    printf("sigaction %ld\n", syscall(SYS_sigaction, SIGUSR1, &action, 0));
    raise(SIGUSR1);
    printf("hits %d %ld", hits, syscall(SYS_sigaction, SIGUSR1, 0, &old));
    printf(" %d %lx\n", old.handler == count, old.mask);
    unsigned long block = 1u << (SIGUSR1 - 1);
    printf("sigprocmask %ld\n", syscall(SYS_sigprocmask, SIG_BLOCK, &block, &before));
    raise(SIGUSR1);
    printf("sigpending %ld", syscall(SYS_sigpending, &pending));
    printf(" %lx sgetmask %lx\n", pending, syscall(SYS_sgetmask));
    printf("sigsuspend %ld", syscall(SYS_sigsuspend, 0, 0, 0));
    printf(" %d", errno == EINTR);
    printf(" hits %d\n", hits);
    printf("ssetmask %lx", syscall(SYS_ssetmask, 0));
    printf(" %lx\n", syscall(SYS_sgetmask));
    printf("signal %d\n", syscall(SYS_signal, SIGUSR1, SIG_IGN) == (long)count);
}

static void others(void)
{
    struct { unsigned long address, length, prot, flags; long fd; unsigned long offset; } map = {
        0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 };
    char *page = (char *)syscall(SYS_mmap, &map);
    page[8191] = 5;
    printf("mmap %d\n", page[8191]);
    struct timeval limit = { 0, 1000 };
    struct { long n; fd_set *in, *out, *except; struct timeval *limit; } wait = { 0, 0, 0, 0, &limit };
    printf("select %ld\n", syscall(SYS_select, &wait));
    char names[5][65], oldest[5][9];
    printf("olduname %ld %s\n", syscall(SYS_olduname, names), names[0]);
    printf("oldolduname %ld %s\n", syscall(SYS_oldolduname, oldest), oldest[0]);
    struct { unsigned long now, most; } limits;
    printf("getrlimit %ld", syscall(SYS_getrlimit, RLIMIT_CPU, &limits));
    printf(" %lx\n", limits.most);
    unsigned long sixth = syscall(SYS_mmap2, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("mmap2 %d\n", sixth < 0xfffff000);
    struct { int64_t seconds; int64_t nanoseconds; } time64;
    struct { int32_t seconds, nanoseconds; } time32;
    printf("clock %ld %ld", syscall(SYS_clock_gettime64, 0, &time64), syscall(CLOCK_GETTIME32, 0, &time32));
    printf(" %d\n", time64.seconds - (uint32_t)time32.seconds <= 1);
}

int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    files();
    ids();
    signals();
    others();
    return 0;
}

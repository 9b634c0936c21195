/* The address space: mmap and its kin, what faults where and why, a stack that grows, brk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf back;
static volatile int last_signal, last_code, is_ready;
static char *volatile last_address;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (!is_ready)
        _exit(signo);
    is_ready = 0;
    last_signal = signo;
    last_code = info->si_code;
    last_address = info->si_addr;
    siglongjmp(back, 1);
}

/* What happens to an access: "fine", or the signal, its code and whether the address is right. */
static void touch(const char *what, char *at, int write)
{
    if (sigsetjmp(back, 1)) {
        printf("%-28s signal %d code %d%s\n", what, last_signal, last_code,
               last_address == at ? "" : " at another address");
        return;
    }
    is_ready = 1;
    if (write)
        *(volatile char *)at = 1;
    else
        (void)*(volatile char *)at;
    is_ready = 0;
    printf("%-28s fine\n", what);
}

static void say(const char *what, long result)
{
    printf("%-28s %d\n", what, result == -1 ? errno : 0);
}

static void protections(void)
{
    char *at = mmap(0, 4 * PAGE, PROT_READ, ANON, -1, 0);
    touch("read what is readable", at, 0);
    touch("write what is readable", at, 1);
    mprotect(at + PAGE, PAGE, PROT_NONE);
    touch("read what is not", at + PAGE + 7, 0);
    munmap(at + 2 * PAGE, PAGE);
    touch("read what is unmapped", at + 2 * PAGE, 0);
    say("mprotect over a hole", mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE));
    touch("write before the hole", at + 2 * PAGE - 1, 1);
    touch("write after the hole", at + 3 * PAGE, 1);
    say("munmap unaligned", munmap(at + 1, PAGE));
    say("munmap of nothing", munmap(at, 0));
    say("munmap twice", munmap(at, 4 * PAGE) | munmap(at, 4 * PAGE));
    touch("read at zero", (char *)8, 0);
}

static void files(void)
{
    char name[] = "mapped.XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    for (int i = 0; i < 2 * PAGE; i++)
        (void)!write(fd, "x", 1);
    char *shared = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    strcpy(shared, "shared");
    strcpy(private + PAGE, "private");
    char seen[8] = "";
    (void)!pread(fd, seen, 7, 0);
    printf("the file has %s, memory %s\n", seen, private);
    (void)!pread(fd, seen, 7, PAGE);
    printf("the file has %.3s, memory %s\n", seen, private + PAGE);
    touch("read past the end", shared + 2 * PAGE, 0);
    (void)!ftruncate(fd, PAGE);
    touch("read what was cut off", shared + PAGE, 0);
    say("write from there", write(fd, shared + PAGE, 8));
    say("open a path there", open(shared + PAGE, O_RDONLY));
    say("msync", msync(shared, PAGE, MS_SYNC));
    int readable = open("/proc/self/exe", O_RDONLY);
    say("shared writing, fd read-only",
        (long)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, readable, 0));
    say("a directory", (long)mmap(0, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0));
    say("a bad descriptor", (long)mmap(0, PAGE, PROT_READ, MAP_PRIVATE, 99, 0));
    close(readable);
    close(fd);
}

static void moving(void)
{
    char *at = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    strcpy(at, "begin");
    strcpy(at + 2 * PAGE - 4, "end");
    munmap(at + 2 * PAGE, 6 * PAGE);
    char *grown = mremap(at, 2 * PAGE, 4 * PAGE, 0);
    printf("grown in place %d %s\n", grown == at, grown + 2 * PAGE - 4);
    mmap(at + 4 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0);
    say("no room in place", (long)mremap(at, 4 * PAGE, 64 * PAGE, 0));
    char *moved = mremap(at, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    printf("moved %d %s %s %d\n", moved != at, moved, moved + 2 * PAGE - 4, moved[64 * PAGE - 1]);
    touch("read where it was", at, 0);
    char *fixed = mremap(moved, 64 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
    printf("back %d %s\n", fixed == at, fixed);
    touch("read what was cut off", moved, 0);
    say("no replacement", (long)mmap(at, PAGE, PROT_READ, ANON | 0x100000, -1, 0));
    madvise(at, PAGE, MADV_DONTNEED);
    printf("dropped %d\n", at[0]);
}

/* sbrk(3), which musl refuses. */
static char *end_of_heap(long more)
{
#ifdef __GLIBC__
    return sbrk(more);
#else
    char *end = (char *)syscall(SYS_brk, 0);
    syscall(SYS_brk, end + more);
    return end;
#endif
}

static void heap(void)
{
    char *start = end_of_heap(0);
    char *before = end_of_heap(10 * PAGE);
    memset(before, 7, 10 * PAGE);
    printf("grown by %ld, %d\n", (long)(end_of_heap(0) - start), before[10 * PAGE - 1]);
    end_of_heap(-5 * PAGE);
    end_of_heap(5 * PAGE);
    printf("shrunk and grown: %d %d\n", before[PAGE], before[9 * PAGE]);
}

static void growing(void)
{
    char *room = mmap(0, 1024 * PAGE, PROT_NONE, ANON, -1, 0);
    munmap(room, 1024 * PAGE);
    char *stack = mmap(room + 1023 * PAGE, PAGE, PROT_READ | PROT_WRITE,
                       ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    for (int i = 0; i < 20; i++)
        stack[-i * PAGE] = 1;
    printf("grew to %d pages\n", 20);
}

static void sharing(void)
{
    int *word = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *own = mmap(0, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    if (fork() == 0) {
        *word = 42;
        *own = 42;
        _exit(0);
    }
    wait(0);
    printf("a child wrote %d, not %d\n", *word, *own);
}

static void list(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int own = 0, heaps = 0, stacks = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx", &start, &end) != 2)
            puts("what is this?");
        own += start <= (unsigned long)&list && (unsigned long)&list < end;
        heaps += strstr(line, "[heap]") != 0;
        stacks += strstr(line, "[stack]") && start <= (unsigned long)&line && (unsigned long)&line < end;
    }
    printf("maps: %d %d %d\n", own, heaps, stacks);
    fclose(maps);
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    puts("protections");
    protections();
    puts("files");
    files();
    puts("moving");
    moving();
    puts("heap");
    heap();
    growing();
    sharing();
    list();
    return 0;
}

/* What the kernel tells an x86-64 program about itself, and where it puts things. */
#define _GNU_SOURCE
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_32BIT
#define MAP_32BIT 0x40
#endif

static void maps(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512], heap = 0, stack = 0, width = 1;
    unsigned long last = 0, start, end;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx", &start, &end) != 2 || start < last)
            printf("bad line %s", line);
        last = end;
        heap |= strstr(line, "[heap]") != 0;
        stack |= strstr(line, "[stack]") != 0;
        char *name = strchr(line, '/');
        if (name)
            width &= name - line == 73;
    }
    fclose(file);
    printf("maps: heap %d stack %d names in column 73 %d\n", heap, stack, width);
}

/* glibc's getauxval answers something else. */
static unsigned long hwcap(void)
{
    Elf64_auxv_t entry;
    FILE *file = fopen("/proc/self/auxv", "r");
    while (fread(&entry, sizeof entry, 1, file) && entry.a_type != AT_HWCAP)
        ;
    fclose(file);
    return entry.a_un.a_val;
}

static unsigned long features(void)
{
    unsigned a = 1, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d;
}

int main(int argc, char **argv)
{
    const uint8_t *bytes = (const uint8_t *)getauxval(AT_RANDOM);
    int distinct = 0, local;
    for (int i = 1; i < 16; i++)
        distinct += bytes[i] != bytes[0];
    printf("page size       %lu\n", getauxval(AT_PAGESZ));
    printf("CPUID           %d\n", hwcap() == features());
    printf("random bytes    %d\n", distinct > 4);
    printf("same user       %d\n", getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    printf("entry is code   %d\n", *(const uint32_t *)getauxval(AT_ENTRY) != 0);
    printf("program headers %d\n", getauxval(AT_PHNUM) > 2 && getauxval(AT_PHENT) == 56);
    printf("name            %d\n", !strcmp((const char *)getauxval(AT_EXECFN), argv[0]));
    printf("platform        %s\n", (const char *)getauxval(AT_PLATFORM));
    printf("signal stack    %d\n", getauxval(51) >= 952);
    printf("stack           %d\n", ((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    printf("stack is high   %d\n", (uintptr_t)&local > (uintptr_t)sbrk(0));
    void *low = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    printf("low mapping     %d\n", (uintptr_t)low >= 0x40000000 && (uintptr_t)low < 0x80000000);
    void *high = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("high mapping    %d\n", (uintptr_t)high > 1ul << 33 && high < (void *)&local);
    size_t huge = 1ul << 40;
    char *sparse = mmap(0, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sparse[huge / 2] = 1;
    sparse[huge - 1] = 2;
    printf("a terabyte      %d %d %d\n", sparse[huge / 2], sparse[huge - 1], sparse[12345678901]);
    munmap(sparse, huge);
    void *hint = mmap((void *)0x7f0000000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("a hint          %d\n", hint != MAP_FAILED);
    syscall(SYS_brk, syscall(SYS_brk, 0) + 8192);
    maps();
    return argc - 1;
}

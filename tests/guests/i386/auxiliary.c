/* What the kernel tells an i386 program about itself, and where it puts things. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char end;

/* glibc's getauxval answers something else for AT_HWCAP. */
static unsigned long given(unsigned type)
{
    Elf32_auxv_t entry;
    unsigned long found = 0;
    FILE *file = fopen("/proc/self/auxv", "r");
    while (fread(&entry, sizeof entry, 1, file))
        if (entry.a_type == type)
            found = entry.a_un.a_val;
    fclose(file);
    return found;
}

static unsigned features(void)
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
    printf("CPUID           %d\n", given(AT_HWCAP) == features());
    printf("platform        %s\n", (const char *)getauxval(AT_PLATFORM));
    printf("base platform   %lu\n", getauxval(AT_BASE_PLATFORM));
    printf("random bytes    %d\n", distinct > 4);
    printf("program         %d\n", strcmp((const char *)getauxval(AT_EXECFN), argv[0]) == 0);
    printf("headers         %d of %lu\n", *(Elf32_Word *)getauxval(AT_PHDR) != 0, getauxval(AT_PHENT));
    printf("vdso            %d\n", getauxval(AT_SYSINFO) - getauxval(AT_SYSINFO_EHDR) < 8192);
    printf("stack on top    %d\n", (uintptr_t)&local > 0xff000000);
    printf("heap after data %d\n", (char *)sbrk(0) > &end);
    printf("arguments       %d %d\n", argc, argv[argc] == 0);
    printf("secure          %lu\n", getauxval(AT_SECURE));
    return 0;
}

/* What the kernel tells a PowerPC program about itself; expected text in auxiliary.expected. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const uint8_t *bytes = (const uint8_t *)getauxval(AT_RANDOM);
    int distinct = 0;
    for (int i = 1; i < 16; i++)
        distinct += bytes[i] != bytes[0];
    unsigned long capabilities = getauxval(AT_HWCAP);
    printf("page size       %lu\n", getauxval(AT_PAGESZ));
    printf("has FPU         %d\n", (capabilities & 0x08000000) != 0);
    printf("has AltiVec     %d\n", (capabilities & 0x10000000) != 0);
    printf("has SPE or VSX  %d\n", (capabilities & 0x00800080) != 0);
    printf("random bytes    %d\n", distinct > 4);
    printf("cache line      %d\n", getauxval(AT_DCACHEBSIZE) >= 16);
    printf("same user       %d\n", getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    printf("entry is code   %d\n", *(const uint32_t *)getauxval(AT_ENTRY) != 0);
    printf("program headers %d\n", getauxval(AT_PHNUM) > 2 && getauxval(AT_PHENT) == 32);
    printf("name            %d\n", !strcmp((const char *)getauxval(AT_EXECFN), argv[0]));
    printf("stack           %d\n", ((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    return argc - 1;
}

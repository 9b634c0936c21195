/* System calls that do nothing much.    getppid <calls> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    uint32_t calls = argc > 1 ? (uint32_t)atoi(argv[1]) : 1, same = 0;
    long parent = syscall(SYS_getppid);
    for (uint32_t i = 0; i < calls; i++)
        same += syscall(SYS_getppid) == parent;
    printf("getppid %u: %u\n", (unsigned)calls, (unsigned)same);
    return 0;
}

/* Prints its arguments and two variables of its environment; returns argc. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("argv[%d] = <%s>\n", i, argv[i]);
    printf("<%s> <%s> %d\n", getenv("GUEST_NAME"), getenv("GUEST_EMPTY"), getenv("GUEST_NONE") != 0);
    return argc;
}

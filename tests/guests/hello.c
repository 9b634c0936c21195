/* The least a program can do. */
#include <stdio.h>

int main(void)
{
    puts("Hello, world!");
    return 0;
}

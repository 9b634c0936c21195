/* Code that is written, run, changed and run again; expected text in selfmodifying.expected. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void publish(uint32_t *from, uint32_t *to)
{
    for (uint32_t *at = from; at < to; at++)
        __asm__ volatile("dcbst 0,%0\n\tsync\n\ticbi 0,%0" : : "r"(at) : "memory");
    __asm__ volatile("sync\n\tisync" : : : "memory");
}

/* li r3, value; blr */
static int returning(uint32_t *code, int value)
{
    code[0] = 0x38600000u | (uint16_t)value;
    code[1] = 0x4e800020u;
    publish(code, code + 2);
    return ((int (*)(void))code)();
}

/* A loop that adds r4 times a constant kept in its own instruction, and counts it up as it goes. */
static int patching(uint32_t *code, int times)
{
    static const uint32_t loop[] = {
        0x7c8903a6, /* mtctr r4 */
        0x38600000, /* li r3, 0 */
        0x38630001, /* again: addi r3, r3, 1 */
        0x81050000, /* lwz r8, 0(r5) */
        0x39080001, /* addi r8, r8, 1 */
        0x91050000, /* stw r8, 0(r5) */
        0x7c00286c, /* dcbst 0, r5 */
        0x7c0004ac, /* sync */
        0x7c002fac, /* icbi 0, r5 */
        0x7c0004ac, /* sync */
        0x4c00012c, /* isync */
        0x4200ffdc, /* bdnz again */
        0x4e800020, /* blr */
    };
    memcpy(code, loop, sizeof loop);
    publish(code, code + sizeof loop / 4);
    return ((int (*)(int, int, uint32_t *))code)(0, times, code + 2);
}

int main(void)
{
    uint32_t *page = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int sum = 0;
    for (int i = -50; i < 50; i++)
        sum += returning(page, i * 3);
    printf("the same place %d\n", sum);
    for (int i = sum = 0; i < 100; i++)
        sum += returning(page + 8 * i, i);
    printf("many places %d\n", sum);
    printf("its own constant %d\n", patching(page, 10));
    printf("and longer %d\n", patching(page, 5000));
    int (*first)(void) = (int (*)(void))page;
    returning(page, 1);
    for (int i = sum = 0; i < 20000; i++)
        sum += first();
    returning(page, 2);
    for (int i = 0; i < 20000; i++)
        sum += first();
    printf("after being hot %d\n", sum);
    munmap(page, 4096);
    page = mmap(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("mapped anew %d\n", returning(page, 77));
    return 0;
}

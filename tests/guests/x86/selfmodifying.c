/* Code that is written while the program runs: before, beside and under the program counter. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef int (*function)(void);
static uint8_t *code;

static void put_constant(uint8_t *at, int value)
{
    uint8_t text[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov eax, imm32; ret */
    memcpy(text + 1, &value, 4);
    memcpy(at, text, sizeof text);
}

static void rewritten(void)
{
    long sum = 0;
    for (int i = 0; i < 2000; i++) {
        put_constant(code, i);
        sum += ((function)code)();
    }
    printf("rewritten %ld\n", sum);
}

static void beside(void)
{
    long sum = 0;
    put_constant(code, 3);
    for (int i = 0; i < 20000; i++) {
        code[2048] = i;
        sum += ((function)code)() + code[2048] % 2;
    }
    printf("beside %ld\n", sum);
}

/* Put the displacement of an operand that is at `target`, for the instruction that ends at `next`:
   ModRM 05 is relative to RIP in 64-bit code, and an address in 32-bit code. */
static void put_address(uint8_t *at, const uint8_t *target, const uint8_t *next)
{
    int32_t value = sizeof(void *) == 8 ? target - next : (intptr_t)target;
    memcpy(at, &value, 4);
}

/* mov byte [next + 1], 7 writes into the next instruction, mov eax, 0. */
static void next_instruction(void)
{
    static const uint8_t text[] = { 0xc6, 0x05, 0, 0, 0, 0, 7, 0xb8, 0, 0, 0, 0, 0xc3 };
    memcpy(code, text, sizeof text);
    put_address(code + 2, code + 8, code + 7);
    int result = 0;
    for (int i = 0; i < 3; i++) {
        code[8] = 0;
        result = result * 10 + ((function)code)();
    }
    printf("next instruction %d\n", result);
}

/* A loop that counts up its own immediate operand. */
static void loop(void)
{
    static const uint8_t text[] = {
        0x31, 0xc0,                                     /*    xor eax, eax         */
        0xb9, 0xe8, 3, 0, 0,                            /*    mov ecx, 1000        */
        0x05, 1, 0, 0, 0,                               /* 1: add eax, 1           */
        0x83, 0x05, 0, 0, 0, 0, 1,                      /*    add dword [the 1], 1 */
        0xff, 0xc9, 0x75, 0xf0, 0xc3,                   /*    dec ecx; jnz 1b; ret */
    };
    memcpy(code, text, sizeof text);
    put_address(code + 14, code + 8, code + 19);
    printf("loop %d\n", ((function)code)());
}

static void two_pages(void)
{
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        put_constant(code + 4094, i * 65537);
        sum += ((function)(code + 4094))();
    }
    printf("two pages %ld\n", sum);
}

static void protected(void)
{
    put_constant(code, 1);
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    int first = ((function)code)();
    mprotect(code, 4096, PROT_READ | PROT_WRITE);
    put_constant(code, 2);
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    printf("protected %d %d\n", first, ((function)code)());
    mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

int main(void)
{
    code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rewritten();
    beside();
    next_instruction();
    loop();
    two_pages();
    protected();
    return 0;
}

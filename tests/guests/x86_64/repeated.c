/* String instructions, alone and repeated: sizes, directions, overlaps, page ends, all flags. */
#include "../check.h"

enum { SIZE = 5 * 4096 };

static unsigned char memory[SIZE] __attribute__((aligned(4096)));

struct registers {
    uintptr_t a, c, s, d, flags;
};

#ifdef __x86_64__
/* Below the red zone, where the compiler may keep things. */
#define PUSH_FLAGS "lea -128(%%rsp), %%rsp\n pushfq\n popq %4\n lea 128(%%rsp), %%rsp\n"
#else
#define PUSH_FLAGS "pushfl\n popl %4\n"
#endif

#define STRING(name, text)                                                                         \
    static void name(struct registers *r, int down)                                                \
    {                                                                                              \
        if (down)                                                                                  \
            asm volatile("cmp $1, %%al\n std\n " text "\n cld\n" PUSH_FLAGS                        \
                         : "+a"(r->a), "+c"(r->c), "+S"(r->s), "+D"(r->d), "=r"(r->flags)          \
                         : : "memory", "cc");                                                      \
        else                                                                                       \
            asm volatile("cmp $1, %%al\n " text "\n" PUSH_FLAGS                                    \
                         : "+a"(r->a), "+c"(r->c), "+S"(r->s), "+D"(r->d), "=r"(r->flags)          \
                         : : "memory", "cc");                                                      \
    }

#define SIZES(operation, prefix, suffix)                                                           \
    STRING(operation##suffix##_b, prefix #operation "b")                                           \
    STRING(operation##suffix##_w, prefix #operation "w")                                           \
    STRING(operation##suffix##_l, prefix #operation "l")

SIZES(movs, "", )
SIZES(movs, "rep ", _rep)
SIZES(stos, "", )
SIZES(stos, "rep ", _rep)
SIZES(lods, "", )
SIZES(lods, "rep ", _rep)
SIZES(cmps, "", )
SIZES(cmps, "repe ", _repe)
SIZES(cmps, "repne ", _repne)
SIZES(scas, "", )
SIZES(scas, "repe ", _repe)
SIZES(scas, "repne ", _repne)

#define ROWS(operation, suffix) \
    {operation##suffix##_b, 1}, {operation##suffix##_w, 2}, {operation##suffix##_l, 4}

static const struct {
    void (*run)(struct registers *, int);
    unsigned size;
} OPERATIONS[] = {
    ROWS(movs, ),     ROWS(movs, _rep),   ROWS(stos, ),     ROWS(stos, _rep),
    ROWS(lods, ),     ROWS(lods, _rep),   ROWS(cmps, ),     ROWS(cmps, _repe),
    ROWS(cmps, _repne), ROWS(scas, ),     ROWS(scas, _repe), ROWS(scas, _repne),
};

/* A few values only, in runs, so that searches go on for a while. */
static void refill(void)
{
    unsigned at = 0;
    while (at < SIZE) {
        unsigned char value = "\0\0\1\377"[random64() % 4];
        unsigned run = random64() % 4 ? random64() % 8 : random64() % 300;
        for (unsigned end = at + run; at < end && at < SIZE; at++)
            memory[at] = value;
    }
}

static unsigned place(void)
{
    return random64() % 3 ? random64() % SIZE : (random64() % 5 * 4096 + SIZE - 8 + random64() % 16) % SIZE;
}

static void one(unsigned number, int round)
{
    unsigned size = OPERATIONS[number].size;
    int down = round % 4 == 3;
    unsigned source = place(), target = round % 3 ? place() : (source + random64() % 80 + SIZE - 40) % SIZE;
    unsigned count = round % 5 ? random64() % 64 : random64() % 5000;
    unsigned last = source > target ? source : target, first = source < target ? source : target;
    unsigned room = down ? first / size : (SIZE - last) / size;
    if (last + size > SIZE)
        return;
    struct registers r = {.c = count < room ? count : room, .a = random64() % 3 * 0x01010101u - 1};
    if (random64() % 2)
        r.a = 0;
    r.s = (uintptr_t)memory + source;
    r.d = (uintptr_t)memory + target;
    OPERATIONS[number].run(&r, down);
    check(r.a);
    check(r.c);
    check(r.s - (uintptr_t)memory);
    check(r.d - (uintptr_t)memory);
    check(r.flags & 0x8d5);
}

static void check_memory(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SIZE; i += 8)
        sum = (sum ^ *(uint64_t *)(memory + i)) * 0x100000001b3u + (sum >> 40);
    check(sum);
}

int main(void)
{
    static const char *NAMES[] = {
        "movs", "rep movs", "stos", "rep stos", "lods", "rep lods", "cmps", "repe cmps",
        "repne cmps", "scas", "repe scas", "repne scas",
    };
    for (unsigned family = 0; family < 12; family++) {
        for (int round = 0; round < 300; round++) {
            if (round % 8 == 0)
                refill();
            for (unsigned size = 0; size < 3; size++)
                one(3 * family + size, round);
            if (round % 16 == 15)
                check_memory();
        }
        check_print(NAMES[family]);
    }
    return 0;
}

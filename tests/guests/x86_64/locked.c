/* Locked instructions on memory that four threads share: nothing is lost. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 20000 };

struct pair {
    uintptr_t low, high;
} __attribute__((aligned(2 * sizeof(uintptr_t))));

static long counted, added, exchanged, compared, taken;
static int adjusted;
static unsigned char bytes, bits[64];
static struct pair pair;

#ifdef __x86_64__
#define COMPARE_PAIR "lock cmpxchg16b %0"
#else
#define COMPARE_PAIR "lock cmpxchg8b %0"
#endif

static void add_to_pair(void)
{
    uintptr_t low = pair.low, high = pair.high;
    unsigned char done;
    do
        asm volatile(COMPARE_PAIR "\n sete %3"
                     : "+m"(pair), "+a"(low), "+d"(high), "=q"(done)
                     : "b"(low + 1), "c"(high + 3) : "memory", "cc");
    while (!done);
}

static void add_compared(void)
{
    long old = compared;
    unsigned char done;
    do
        asm volatile("lock cmpxchg %3, %0\n sete %2"
                     : "+m"(compared), "+a"(old), "=q"(done) : "r"(old + 1) : "memory", "cc");
    while (!done);
}

/* A lock of one bit around what is not atomic. */
static void take_turns(long number)
{
    unsigned char busy;
    do
        asm volatile("lock btsl %2, %0\n setc %1"
                     : "+m"(bits), "=q"(busy) : "r"((int)(number & 1) + 300) : "memory", "cc");
    while (busy);
    if ((number & 1) == 0)
        taken += 2;
    asm volatile("lock btrl %1, %0" : "+m"(bits) : "r"((int)(number & 1) + 300) : "memory", "cc");
}

static void *work(void *given)
{
    long sum = 0;
    for (long i = 0; i < ROUNDS; i++) {
        long one = 1, two = 2;
        asm volatile("lock incl %0" : "+m"(*(int *)&counted) : : "cc");
        asm volatile("lock xadd %0, %1" : "+r"(two), "+m"(added) : : "memory", "cc");
        asm volatile("lock addb $1, %0" : "+m"(bytes) : : "cc");
        asm volatile("lock subl $1, %0" : "+m"(adjusted) : : "cc");
        asm volatile("stc\n lock adcl $1, %0" : "+m"(adjusted) : : "cc");
        asm volatile("xchg %0, %1" : "+r"(one), "+m"(exchanged) : : "memory");
        sum += one;
        add_compared();
        add_to_pair();
        take_turns(i);
    }
    *(long *)given = sum;
    return 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    long sums[THREADS], sum = exchanged;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, work, &sums[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], 0);
        sum += sums[i];
    }
    printf("inc %ld xadd %ld byte %d adc %d\n", counted, added, bytes, adjusted);
    printf("xchg %ld cmpxchg %ld bits %ld\n", sum + exchanged, compared, taken);
    printf("pair %ld %ld\n", (long)pair.low, (long)pair.high);
    return 0;
}

/* Eight threads: a mutex, a condition, atomics, thread-local data, joins, and a barrier of our own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 8
#define ROUNDS 20000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long guarded;
static atomic_int atomic;
static _Atomic uint8_t small;
static _Thread_local int mine;
static int turn;

static void *work(void *argument)
{
    int self = (int)(intptr_t)argument;
    uint32_t sum = 0;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        guarded++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&atomic, self);
        atomic_fetch_add(&small, 1);
        int seen = atomic_load(&atomic);
        while (!atomic_compare_exchange_weak(&atomic, &seen, seen + 1))
            ;
        mine += self;
        char *block = malloc((size_t)(16 + (i & 255)));
        block[0] = (char)i;
        sum += (unsigned char)block[0];
        free(block);
    }
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&lock);
        while (turn != self)
            pthread_cond_wait(&turned, &lock);
        turn = (turn + 1) % THREADS;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&lock);
    }
    return (void *)(uintptr_t)(sum + (uint32_t)mine);
}

int main(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], 0, work, (void *)(intptr_t)i))
            return puts("no thread"), 1;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        printf("thread %d: %u\n", i, (unsigned)(uintptr_t)result);
    }
    printf("guarded %ld atomic %d small %d turn %d mine %d\n", guarded, (int)atomic, (int)small, turn, mine);
    return 0;
}

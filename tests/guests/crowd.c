/* Threads that come and go, fork, spawn, signal each other and map memory, all at once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static atomic_int handled, forked, spawned, mapped, short_lives, wrong;
static char *self;

static void on_signal(int number) { (void)number; atomic_fetch_add(&handled, 1); }

static int wait_for(pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, 0) < 0)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void *forking(void *unused)
{
    for (int i = 0; i < 12; i++) {
        pid_t child = fork();
        if (!child)
            _exit(i);
        wrong += wait_for(child) != i;
        forked++;
    }
    return unused;
}

static void *spawning(void *unused)
{
    char *arguments[] = { self, "child", 0 };
    for (int i = 0; i < 6; i++) {
        pid_t child;
        if (posix_spawn(&child, self, 0, 0, arguments, environ))
            wrong++;
        else
            wrong += wait_for(child) != 33;
        spawned++;
    }
    return unused;
}

static void *signalling(void *target)
{
    for (int i = 0; i < 300; i++)
        pthread_kill(*(pthread_t *)target, SIGUSR1);
    return 0;
}

static void *mapping(void *unused)
{
    for (int i = 0; i < 200; i++) {
        size_t size = 4096 * (size_t)(1 + i % 7);
        unsigned char *page = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(page, i, size);
        mprotect(page, 4096, PROT_READ);
        wrong += page[size - 1] != (unsigned char)i || page[0] != (unsigned char)i;
        munmap(page, size);
        mapped++;
    }
    return unused;
}

static void *nothing(void *argument)
{
    short_lives++;
    return argument;
}

static void *breeding(void *unused)
{
    for (int i = 0; i < 60; i++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, 0, nothing, (void *)(intptr_t)i))
            wrong++;
        else if (pthread_join(thread, &result) || result != (void *)(intptr_t)i)
            wrong++;
    }
    return unused;
}

static void *computing(void *result)
{
    uint32_t h = 1;
    double x = 1;
    for (int i = 0; i < 400000; i++) {
        h = h * 31 + (uint32_t)i;
        x = x * 0.75 + h % 13;
    }
    *(double *)result = x + h;
    return 0;
}

int main(int argc, char **argv)
{
    void *(*const jobs[])(void *) = { forking, spawning, mapping, breeding };
    pthread_t threads[4], targets[2], senders[2];
    double results[2], right;
    self = argv[0];
    if (argc > 1)
        return 33;
    computing(&right);
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, 0);
    for (int i = 0; i < 2; i++) {
        pthread_create(&targets[i], 0, computing, &results[i]);
        pthread_create(&senders[i], 0, signalling, &targets[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], 0, jobs[i], 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(senders[i], 0);
        pthread_join(targets[i], 0);
        wrong += results[i] != right;
    }
    printf("forked %d spawned %d mapped %d lives %d wrong %d\n", forked, spawned, mapped, short_lives, wrong);
    return 0;
}

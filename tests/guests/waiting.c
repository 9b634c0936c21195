/* Waiting for signals: sigsuspend, sigtimedwait, ppoll, signalfd, queues, timers, restarted calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count, value, code;

static void counting(int number) { (void)number; count++; }

static void informed(int number, siginfo_t *info, void *context)
{
    (void)number; (void)context;
    count++;
    value = info->si_value.sival_int;
    code = info->si_code;
}

static void handle(int number, int flags)
{
    struct sigaction action = { .sa_sigaction = informed, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, 0);
}

static sigset_t only(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static int blocks(int number)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, 0, &now);
    return sigismember(&now, number);
}

static void in_a_while(long microseconds)
{
    struct itimerval timer = { { 0, 0 }, { 0, microseconds } };
    setitimer(ITIMER_REAL, &timer, 0);
}

/* Calls that wait with a mask of their own: the blocked signal gets through, and only there. */
static void with_a_mask(void)
{
    sigset_t none, block = only(SIGALRM);
    struct timespec long_time = { 20, 0 };
    struct pollfd nothing = { -1, 0, 0 };
    struct epoll_event event;
    int epoll = epoll_create1(0);
    sigemptyset(&none);
    signal(SIGALRM, counting);
    sigprocmask(SIG_BLOCK, &block, 0);
    for (int how = 0; how < 4; how++) {
        int result, error;
        count = 0;
        in_a_while(how % 2 ? 1 : 30000);
        if (how % 2)
            usleep(2000);
        switch (how) {
        case 0: result = sigsuspend(&none); break;
        case 1: result = ppoll(&nothing, 1, &long_time, &none); break;
        case 2: result = pselect(0, 0, 0, 0, &long_time, &none); break;
        default: result = epoll_pwait(epoll, &event, 1, 20000, &none); break;
        }
        error = errno;
        printf("way %d: %d %s, came %d, blocked again %d\n", how, result, strerror(error), (int)count,
               blocks(SIGALRM));
    }
    sigprocmask(SIG_UNBLOCK, &block, 0);
    close(epoll);
}

static void queued(void)
{
    int number = SIGRTMIN + 3;
    sigset_t block = only(number);
    union sigval what;
    siginfo_t info;
    struct timespec soon = { 0, 10000000 };
    handle(number, 0);
    sigprocmask(SIG_BLOCK, &block, 0);
    count = 0;
    for (what.sival_int = 100; what.sival_int < 110; what.sival_int++)
        sigqueue(getpid(), number, what);
    for (int i = 0; i < 3; i++) {
        int got = sigtimedwait(&block, &info, &soon);
        printf("waited for %d: value %d code %d\n", got == number, info.si_value.sival_int, info.si_code);
    }
    sigprocmask(SIG_UNBLOCK, &block, 0);
    printf("count %d, last value %d, code %d\n", (int)count, (int)value, (int)code);
    sigprocmask(SIG_BLOCK, &block, 0);
    int result = sigtimedwait(&block, &info, &soon), error = errno;
    printf("nothing: %d %s\n", result, strerror(error));
    int fd = signalfd(-1, &block, 0);
    struct signalfd_siginfo record;
    what.sival_int = 55;
    sigqueue(getpid(), number, what);
    ssize_t size = read(fd, &record, sizeof record);
    printf("signalfd %d: right %d int %d code %d\n", (int)size, (int)record.ssi_signo == number,
           record.ssi_int, record.ssi_code);
    close(fd);
}

static void timed(void)
{
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    struct itimerspec when = { { 0, 2000000 }, { 0, 2000000 } }, rest;
    event.sigev_value.sival_int = 4711;
    handle(SIGUSR2, 0);
    count = 0;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer))
        perror("timer_create");
    timer_settime(timer, 0, &when, 0);
    while (count < 20)
        ;
    timer_gettime(timer, &rest);
    timer_delete(timer);
    printf("timer value %d code %d interval %ld\n", (int)value, (int)code, rest.it_interval.tv_nsec);
    signal(SIGALRM, counting);
    count = 0;
    alarm(1);
    unsigned left = alarm(0);
    printf("alarm left %u\n", left);
    in_a_while(20000);
    struct timespec nap = { 5, 0 }, remaining = { 0, 0 };
    int result = nanosleep(&nap, &remaining), error = errno;
    printf("sleep %d %s, remains %d\n", result, strerror(error), remaining.tv_sec == 4);
}

/* With SA_RESTART a read goes on; without it, it fails. */
static void restarted(void)
{
    int ends[2];
    char byte = 0;
    if (pipe(ends))
        return;
    for (int again = 0; again < 2; again++) {
        handle(SIGALRM, again ? SA_RESTART : 0);
        count = 0;
        pid_t child = fork();
        if (!child) {
            usleep(150000);
            _exit(write(ends[1], "x", 1) != 1);
        }
        in_a_while(30000);
        ssize_t got = read(ends[0], &byte, 1);
        int error = errno;
        printf("read %d %s, signals %d\n", (int)got, got < 0 ? strerror(error) : "", (int)count);
        while (waitpid(child, 0, 0) < 0)
            ;
        if (got < 0)
            got = read(ends[0], &byte, 1);
    }
    close(ends[0]);
    close(ends[1]);
}

static atomic_int ready, handled[4], wrong;
static _Thread_local int me;

static void in_thread(int number)
{
    (void)number;
    atomic_fetch_add(&handled[me], 1);
}

static void *receive(void *argument)
{
    me = (int)(intptr_t)argument;
    atomic_fetch_add(&ready, 1);
    if (me == 3)
        while (handled[3] < 200)
            ;
    else
        while (handled[me] < 200)
            usleep(1000);
    return 0;
}

static void threads(void)
{
    pthread_t all[4];
    struct sigaction action = { .sa_handler = in_thread, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, 0);
    for (int i = 1; i < 4; i++)
        pthread_create(&all[i], 0, receive, (void *)(intptr_t)i);
    while (ready < 3)
        usleep(100);
    for (int sent = 1; sent <= 200; sent++)
        for (int i = 1; i < 4; i++) {
            pthread_kill(all[i], SIGUSR1);
            while (handled[i] < sent)
                usleep(10);
        }
    for (int i = 1; i < 4; i++)
        pthread_join(all[i], 0);
    printf("threads %d %d %d, main %d, wrong %d\n", handled[1], handled[2], handled[3], handled[0], wrong);
}

static pthread_mutex_t lock;

static void *die_holding(void *unused)
{
    pthread_mutex_lock(&lock);
    return unused;
}

static void robust(void)
{
    pthread_mutexattr_t kind;
    pthread_t thread;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&lock, &kind);
    pthread_create(&thread, 0, die_holding, 0);
    pthread_join(thread, 0);
    int result = pthread_mutex_lock(&lock);
    printf("owner died %d\n", result == EOWNERDEAD);
    pthread_mutex_consistent(&lock);
    pthread_mutex_unlock(&lock);
    printf("again %d\n", pthread_mutex_lock(&lock));
}

static void *last(void *unused)
{
    (void)unused;
    usleep(20000);
    printf("last words\n");
    exit(0);
}

int main(void)
{
    pthread_t thread;
    setvbuf(stdout, 0, _IONBF, 0);
    with_a_mask();
    queued();
    timed();
    restarted();
    threads();
    robust();

    pthread_create(&thread, 0, last, 0);
    pthread_exit(0);
}

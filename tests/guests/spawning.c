/* fork, vfork, posix_spawn, execve: what a child inherits, what it gives back, what exec drops. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *self;

static void nothing(int number) { (void)number; }

static int status_of(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* The program that the tests below execute: says what it finds. */
static int report(int argc, char **argv)
{
    struct sigaction action;
    sigset_t mask;
    char name[16] = "";
    sigprocmask(SIG_BLOCK, 0, &mask);
    printf("argc %d, last %s, env %s\n", argc, argv[argc - 1], getenv("SPAWNED") ? getenv("SPAWNED") : "none");
    sigaction(SIGUSR1, 0, &action);
    printf("usr1 %s", action.sa_handler == SIG_DFL ? "default" : "not default");
    sigaction(SIGUSR2, 0, &action);
    printf(", usr2 %s, ", action.sa_handler == SIG_IGN ? "ignored" : "not ignored");
    printf("hup blocked %d, term blocked %d\n", sigismember(&mask, SIGHUP), sigismember(&mask, SIGTERM));
    printf("kept %d closed %d\n", fcntl(100, F_GETFD) >= 0, fcntl(101, F_GETFD) < 0);
    prctl(PR_GET_NAME, name);
    printf("named %d\n", strncmp(name, strrchr(self, '/') ? strrchr(self, '/') + 1 : self, 15) == 0);
    fflush(stdout);
    return 9;
}

static void executing(void)
{
    char *arguments[] = { self, "report", "", "last one", 0 };
    char *variables[] = { "SPAWNED=yes", "EMPTY=", 0 };
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGHUP);
        sigprocmask(SIG_SETMASK, &mask, 0);
        signal(SIGUSR1, nothing);
        signal(SIGUSR2, SIG_IGN);
        dup2(1, 100);
        dup3(1, 101, O_CLOEXEC);
        execve(self, arguments, variables);
        _exit(1);
    }
    printf("exec %d\n", status_of(child));
}

static void *exec_from_thread(void *unused)
{
    char *arguments[] = { self, "report", "thread", 0 };
    (void)unused;
    dup2(1, 100);
    signal(SIGUSR2, SIG_IGN);
    execve(self, arguments, environ);
    return 0;
}

static void *forever(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

static void threaded_exec(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        pthread_t thread;
        pthread_create(&thread, 0, forever, 0);
        pthread_create(&thread, 0, exec_from_thread, 0);
        for (volatile unsigned i = 0;; i++)
            ;
    }
    printf("thread's exec %d\n", status_of(child));
}

static void failing(void)
{
    static const char *const paths[] = { "/nowhere/at/all", "/", "/dev/null", "/etc/passwd" };
    char *arguments[] = { "x", 0 };
    for (int i = 0; i < 4; i++) {
        execve(paths[i], arguments, environ);
        printf("%s: %s\n", paths[i], strerror(errno));
    }
}

/* A vfork child's writes are the parent's, unless the C library's vfork is fork (musl's here). */
#ifdef __GLIBC__
enum { SHARES = 1 };
#else
enum { SHARES = 0 };
#endif

static void sharing(void)
{
    volatile int failed = 0, *far = calloc(100000, sizeof(int));
    pid_t child = vfork();
    if (!child) {
        far[99999] = 77;
        execl("/nowhere", "nowhere", (char *)0);
        failed = errno;
        _exit(111);
    }
    int status = status_of(child);
    printf("vfork %d: %d, far %d\n", status, !SHARES || failed == ENOENT, SHARES ? far[99999] : 77);
    child = vfork();
    if (!child) {
        far[5] = 5;
        execl(self, self, "report", "vforked", (char *)0);
        _exit(1);
    }
    status = status_of(child);
    printf("vfork and exec %d, far %d\n", status, SHARES ? far[5] : 5);
}

static void spawning(void)
{
    char *arguments[] = { self, "report", "spawned", 0 }, *nothing_there[] = { "nope", 0 };
    pid_t child = 0;
    int error = posix_spawn(&child, self, 0, 0, arguments, environ);
    printf("spawn %d: %d\n", error, status_of(child));
    error = posix_spawn(&child, "/nowhere/at/all", 0, 0, nothing_there, environ);
    printf("spawn: %s\n", strerror(error));
    printf("system %d\n", system("exit 3") >> 8);
}

static void *spawn_in_thread(void *unused)
{
    (void)unused;
    spawning();
    return 0;
}

static void dying(void)
{
    static const int numbers[] = { SIGTERM, SIGKILL, SIGUSR1, SIGALRM, SIGPIPE };
    siginfo_t info;
    for (int i = 0; i < 5; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            signal(numbers[i], SIG_DFL);
            kill(getpid(), numbers[i]);
            _exit(0);
        }
        memset(&info, 0, sizeof info);
        waitid(P_PID, (id_t)child, &info, WEXITED);
        printf("died of %d, code %d, signal %d, right child %d\n", info.si_status, info.si_code,
               info.si_signo, info.si_pid == child);
    }
    int status;
    pid_t child = fork();
    if (!child) {
        raise(SIGSTOP);
        _exit(4);
    }
    waitpid(child, &status, WUNTRACED);
    printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    kill(child, SIGCONT);
    printf("then %d\n", status_of(child));
    int left = waitpid(-1, &status, 0);
    printf("none left %d %d\n", left, errno == ECHILD);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "report"))
        return report(argc, argv);
    setvbuf(stdout, 0, _IONBF, 0);
    executing();
    failing();
    sharing();
    spawning();
    dying();
    threaded_exec();
    pthread_create(&thread, 0, spawn_in_thread, 0);
    pthread_join(thread, 0);
    return 0;
}

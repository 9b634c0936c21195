/* Processes: fork, pipes, wait, exit statuses, execve of itself, a socket pair. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void told(const char *what, pid_t child)
{
    int status = 0;
    pid_t ended = waitpid(child, &status, 0);
    printf("%s: %d exited %d with %d, signalled %d by %d\n", what, ended == child, WIFEXITED(status),
           WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status),
           WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    fflush(stdout);
}

static void through_a_pipe(void)
{
    int ends[2];
    char text[64];
    long sum = 0, count;
    if (pipe(ends) < 0)
        perror("pipe");
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (int i = 0; i < 1000; i++)
            dprintf(ends[1], "%d\n", i);
        _exit(3);
    }
    close(ends[1]);
    FILE *stream = fdopen(ends[0], "r");
    for (count = 0; fgets(text, sizeof text, stream); count++)
        sum += atol(text);
    fclose(stream);
    printf("%ld lines, sum %ld\n", count, sum);
    told("writer", child);
}

static void killed(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGTERM);
    told("killed", child);
}

static void replaced(char *self)
{
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = { self, "again", "and again", 0 };
        char *environment[] = { "GREETING=hello from the environment", 0 };
        execve(self, arguments, environment);
        _exit(99);
    }
    told("replaced", child);
    char *nothing[] = { "nothing", 0 };
    int result = execve("./does-not-exist", nothing, nothing);
    printf("execve %d %s\n", result, strerror(errno));
}

static void talking(void)
{
    int ends[2];
    char text[16] = "";
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    struct pollfd waiting = { ends[0], POLLIN, 0 };
    printf("poll %d\n", poll(&waiting, 1, 0));
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0)
        _exit(write(ends[1], "ping", 4) == 4 ? 0 : 1);
    printf("poll %d\n", poll(&waiting, 1, 1000));
    printf("read %d %s\n", (int)read(ends[0], text, 15), text);
    told("talker", child);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        printf("%d arguments, %s, %s\n", argc, argv[2], getenv("GREETING"));
        return 42;
    }
    through_a_pipe();
    killed();
    replaced(argv[0]);
    talking();
    FILE *shell = popen("echo from a shell", "r");
    char line[64] = "";
    if (fgets(line, sizeof line, shell))
        fputs(line, stdout);
    printf("pclose %d\n", pclose(shell));
    return 0;
}

/* System V IPC between a parent and its child: shared memory, semaphores, messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

struct letter {
    long type;
    char text[16];
};

static void say(const char *what, long result)
{
    printf("%-12s %ld %s\n", what, result, result < 0 ? strerror(errno) : "");
}

static void child(int segment, int semaphores, int queue)
{
    char *shared = shmat(segment, NULL, 0);
    strcpy(shared + 4000, "from the child");
    struct sembuf post = { 1, 1, 0 };
    struct letter letter = { 7, "a letter" };
    msgsnd(queue, &letter, 9, 0);
    semop(semaphores, &post, 1);
    _exit(shmdt(shared));
}

static void shared_memory(int segment)
{
    struct shmid_ds state;
    say("shmctl", shmctl(segment, IPC_STAT, &state));
    printf("%d bytes, %d attached, mode %o\n", (int)state.shm_segsz, (int)state.shm_nattch,
           (unsigned)state.shm_perm.mode & 0777);
}

static void semaphore_set(int semaphores)
{
    unsigned short values[3] = { 3, 0, 9 };
    struct semid_ds state;
    union semun argument = { .array = values };
    say("setall", semctl(semaphores, 0, SETALL, argument));
    argument.buf = &state;
    say("stat", semctl(semaphores, 0, IPC_STAT, argument));
    printf("%d semaphores\n", (int)state.sem_nsems);
    struct sembuf take[2] = { { 0, -2, 0 }, { 2, 1, 0 } }, try = { 1, -1, IPC_NOWAIT };
    say("semop", semop(semaphores, take, 2));
    say("semop", semop(semaphores, &try, 1));
    printf("values %d %d %d\n", semctl(semaphores, 0, GETVAL), semctl(semaphores, 1, GETVAL),
           semctl(semaphores, 2, GETVAL));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int segment = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0640);
    int semaphores = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    if (segment < 0 || semaphores < 0 || queue < 0) {
        puts("no System V IPC here");
        return 0;
    }
    char *shared = shmat(segment, NULL, 0);
    semaphore_set(semaphores);
    pid_t pid = fork();
    if (pid == 0)
        child(segment, semaphores, queue);
    struct sembuf wait_for_it = { 1, -1, 0 };
    say("semop", semop(semaphores, &wait_for_it, 1));
    puts(shared + 4000);
    struct letter letter = { 0, "" };
    say("msgrcv", msgrcv(queue, &letter, sizeof letter.text, 0, 0));
    printf("%ld %s\n", letter.type, letter.text);
    say("msgrcv", msgrcv(queue, &letter, sizeof letter.text, 3, IPC_NOWAIT));
    int status = -1;
    say("wait", waitpid(pid, &status, 0) == pid);
    printf("status %d\n", status);
    shared_memory(segment);
    say("shmdt", shmdt(shared));
    say("shmdt", shmdt(shared));
    say("remove", shmctl(segment, IPC_RMID, NULL) | msgctl(queue, IPC_RMID, NULL));
    say("remove", semctl(semaphores, 0, IPC_RMID));
    return 0;
}

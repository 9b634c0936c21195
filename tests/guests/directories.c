/* Directories: made, listed, entered and removed; the working directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path)
{
    char *names[256];
    int count = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; (entry = readdir(directory));)
        names[count++] = strdup(entry->d_name);
    closedir(directory);
    qsort(names, (size_t)count, sizeof *names, by_name);
    printf("%d names:", count);
    for (int i = 0; i < count; i += count > 20 ? 25 : 1)
        printf(" %s", names[i]);
    puts("");
}

static void say(const char *what, int result) { printf("%s %d %s\n", what, result, result < 0 ? strerror(errno) : ""); }

int main(void)
{
    char name[64], before[4096], after[4096];
    say("mkdir", mkdir("place", 0755));
    say("mkdir", mkdir("place", 0755));
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "place/file-%03d-with-a-longer-name", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    list("place");
    say("rmdir", rmdir("place"));
    char *known = getcwd(before, sizeof before);
    printf("chdir %d\n", chdir("place"));
    known = getcwd(after, sizeof after);
    printf("cwd %d %s\n", known != 0, after + strlen(before));
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "file-%03d-with-a-longer-name", i);
        unlink(name);
    }
    list(".");
    int up = open("..", O_RDONLY | O_DIRECTORY);
    printf("fchdir %d\n", fchdir(up));
    printf("unlinkat %d\n", unlinkat(up, "place", AT_REMOVEDIR));
    say("opendir", opendir("place") ? 0 : -1);
    return 0;
}

/* Files in the current directory: written, read back, mapped, renamed, cut and removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%-12s %ld %s\n", what, result, result < 0 ? strerror(errno) : "");
}

static void descriptors(void)
{
    char text[64] = "";
    int fd = open("guest.txt", O_RDWR | O_CREAT | O_TRUNC, 0640);
    say("write", write(fd, "hello, file\n", 12));
    say("lseek", (long)lseek(fd, 7, SEEK_SET));
    say("read", read(fd, text, 4));
    puts(text);
    struct iovec parts[2] = { { (void *)"one ", 4 }, { (void *)"two\n", 4 } };
    say("writev", writev(fd, parts, 2));
    say("pread", pread(fd, text, 5, 0));
    say("pwrite", pwrite(fd, "HE", 2, 0));
    say("ftruncate", ftruncate(fd, 100));
    struct stat info;
    say("fstat", fstat(fd, &info));
    printf("size %ld mode %o links %d regular %d\n", (long)info.st_size, (unsigned)info.st_mode & 0777,
           (int)info.st_nlink, S_ISREG(info.st_mode));
    int copy = dup(fd);
    say("fcntl", fcntl(copy, F_GETFL) & O_ACCMODE);
    say("close", close(copy) | close(fd));
    say("bad close", close(fd));
}

static void streams(void)
{
    FILE *stream = fopen("stream.txt", "w+");
    for (int i = 0; i < 2000; i++)
        fprintf(stream, "line %d\n", i);
    rewind(stream);
    char line[64];
    int count = 0;
    while (fgets(line, sizeof line, stream))
        count++;
    printf("%d lines, the last %s", count, line);
    printf("at %ld\n", ftell(stream));
    fclose(stream);
}

static void mapped(void)
{
    int fd = open("guest.txt", O_RDWR);
    char *bytes = mmap(0, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("%.12s", bytes);
    memcpy(bytes, "mapped", 6);
    say("msync", msync(bytes, 100, MS_SYNC));
    say("munmap", munmap(bytes, 100));
    char text[8] = "";
    say("pread", pread(fd, text, 6, 0));
    puts(text);
    close(fd);
}

static void names(void)
{
    say("rename", rename("guest.txt", "other.txt"));
    say("access", access("guest.txt", F_OK));
    say("symlink", symlink("other.txt", "link.txt"));
    char target[32] = "";
    say("readlink", readlink("link.txt", target, sizeof target));
    puts(target);
    struct stat info;
    say("lstat", lstat("link.txt", &info));
    printf("link %d\n", S_ISLNK(info.st_mode));
    say("stat", stat("link.txt", &info));
    printf("size %ld\n", (long)info.st_size);
    say("chmod", chmod("other.txt", 0400));
    say("unlink", unlink("link.txt") | unlink("other.txt") | unlink("stream.txt"));
    say("open", open("other.txt", O_RDONLY));
    say("open", open(".", O_WRONLY));
}

int main(void)
{
    descriptors();
    streams();
    mapped();
    names();
    return 0;
}

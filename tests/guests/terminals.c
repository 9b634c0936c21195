/* A pseudo-terminal: its modes, speeds, control characters, size and data. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%-12s %ld errno %d\n", what, result, result < 0 ? errno : 0);
}

static void show(const char *what, int fd)
{
    struct termios modes;
    say(what, tcgetattr(fd, &modes));
    printf("icanon %d echo %d isig %d iexten %d opost %d onlcr %d icrnl %d ixon %d cs8 %d cread %d\n",
           !!(modes.c_lflag & ICANON), !!(modes.c_lflag & ECHO), !!(modes.c_lflag & ISIG),
           !!(modes.c_lflag & IEXTEN), !!(modes.c_oflag & OPOST), !!(modes.c_oflag & ONLCR),
           !!(modes.c_iflag & ICRNL), !!(modes.c_iflag & IXON), (modes.c_cflag & CSIZE) == CS8,
           !!(modes.c_cflag & CREAD));
    printf("intr %d quit %d eof %d min %d time %d susp %d erase %d\n", modes.c_cc[VINTR], modes.c_cc[VQUIT],
           modes.c_cc[VEOF], modes.c_cc[VMIN], modes.c_cc[VTIME], modes.c_cc[VSUSP], modes.c_cc[VERASE]);
    printf("speed %s\n", cfgetospeed(&modes) == B38400 ? "38400" : cfgetospeed(&modes) == B115200 ? "115200" : "?");
}

int main(void)
{
    char text[32] = "";
    struct termios modes;
    struct winsize size = { 24, 80, 0, 0 };
    setvbuf(stdout, NULL, _IOLBF, 0);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    say("grantpt", grantpt(master));
    say("unlockpt", unlockpt(master));
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    show("at first", slave);
    say("isatty", isatty(slave));
    say("winsize", ioctl(master, TIOCSWINSZ, &size));
    size.ws_row = 0;
    say("winsize", ioctl(slave, TIOCGWINSZ, &size));
    printf("%d rows, %d columns\n", size.ws_row, size.ws_col);
    tcgetattr(slave, &modes);
    cfmakeraw(&modes);
    cfsetspeed(&modes, B115200);
    modes.c_cc[VINTR] = 5;
    modes.c_cc[VMIN] = 3;
    modes.c_cc[VTIME] = 2;
    say("tcsetattr", tcsetattr(slave, TCSANOW, &modes));
    show("raw", slave);
    say("write", write(master, "abc\r", 4));
    say("read", read(slave, text, sizeof text));
    printf("%d\n", text[3]);
    say("flush", tcflush(slave, TCIOFLUSH));
    struct pollfd one = { slave, POLLIN, 0 };
    int waiting = -1;
    say("write", write(master, "12345", 5));
    say("poll", poll(&one, 1, 5000));
    say("fionread", ioctl(slave, FIONREAD, &waiting));
    printf("%d waiting\n", waiting);
    say("no terminal", tcgetattr(open("/dev/null", O_RDWR), &modes));
    say("unknown", ioctl(slave, 0x12345678, text));
    return 0;
}

/* Sockets: a conversation over TCP, datagrams, options, passed descriptors and credentials. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%-12s %ld errno %d\n", what, result, result < 0 ? errno : 0);
}

static void conversation(void)
{
    char text[32] = "";
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    say("bind", bind(listener, (struct sockaddr *)&address, sizeof address));
    say("listen", listen(listener, 3));
    say("getsockname", getsockname(listener, (struct sockaddr *)&address, &length));
    printf("family %d host %s length %d\n", address.sin_family, inet_ntoa(address.sin_addr), (int)length);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    say("connect", connect(client, (struct sockaddr *)&address, sizeof address));
    int server = accept(listener, (struct sockaddr *)&address, &length);
    printf("accepted %d from %s\n", server > 0, inet_ntoa(address.sin_addr));
    say("send", send(client, "over tcp", 8, MSG_NOSIGNAL));
    say("peek", recv(server, text, 4, MSG_PEEK));
    say("recv", recv(server, text, sizeof text, 0));
    puts(text);
    int on = 1, value = 0;
    length = sizeof value;
    say("nodelay", setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    say("getsockopt", getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &length));
    printf("nodelay %d, %d bytes\n", value != 0, (int)length);
    say("shutdown", shutdown(client, SHUT_WR));
    say("end", recv(server, text, sizeof text, 0));
    say("connect 2", connect(client, (struct sockaddr *)&address, sizeof address));
    close(client);
    close(server);
    close(listener);
}

static void options(int fd)
{
    int value = 0;
    socklen_t length = sizeof value;
    say("so_type", getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
    printf("type %d\n", value);
    struct timeval limit = { 2, 250000 }, found = { 0, 0 };
    length = sizeof found;
    say("rcvtimeo", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    say("rcvtimeo", getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &found, &length));
    printf("limit %ld.%06ld\n", (long)found.tv_sec, (long)found.tv_usec);
    struct ucred who;
    length = sizeof who;
    say("peercred", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length));
    printf("pid %d uid %d\n", who.pid == getpid(), who.uid == getuid());
    struct linger slow = { 1, 3 };
    length = sizeof slow;
    say("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &slow, sizeof slow));
    slow.l_linger = 0;
    say("linger", getsockopt(fd, SOL_SOCKET, SO_LINGER, &slow, &length));
    printf("linger %d\n", slow.l_linger);
    say("no option", setsockopt(fd, SOL_SOCKET, 9876, &value, sizeof value));
}

static void passing(int from, int to)
{
    int ends[2], received = -1, on = 1;
    char byte = 'q', room[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = "";
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = room,
                              .msg_controllen = CMSG_SPACE(sizeof(int)) };
    say("pipe", pipe(ends));
    say("passcred", setsockopt(to, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    say("sendmsg", sendmsg(from, &message, 0));
    memset(room, 0, sizeof room);
    message.msg_controllen = sizeof room;
    say("recvmsg", recvmsg(to, &message, MSG_CMSG_CLOEXEC));
    for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        struct ucred who;
        if (header->cmsg_type == SCM_RIGHTS)
            memcpy(&received, CMSG_DATA(header), sizeof received);
        if (header->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&who, CMSG_DATA(header), sizeof who);
            printf("credentials of %s\n", who.pid == getpid() ? "ourselves" : "somebody");
        }
    }
    say("write", write(received, "through", 7));
    char text[8] = "";
    say("read", read(ends[0], text, 7));
    puts(text);
}

static void datagrams(void)
{
    struct sockaddr_un here = { .sun_family = AF_UNIX, .sun_path = "socket" }, from;
    socklen_t length = sizeof from;
    char text[16] = "";
    int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    say("bind", bind(receiver, (struct sockaddr *)&here, sizeof here));
    say("sendto", sendto(sender, "datagram", 8, 0, (struct sockaddr *)&here, sizeof here));
    say("recvfrom", recvfrom(receiver, text, sizeof text, 0, (struct sockaddr *)&from, &length));
    printf("%s, %d bytes of address\n", text, (int)length);
    say("bind again", bind(sender, (struct sockaddr *)&here, sizeof here));
    say("nonblocking", recv(receiver, text, sizeof text, MSG_DONTWAIT));
    unlink("socket");
}

int main(void)
{
    int pair[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    conversation();
    say("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    options(pair[0]);
    passing(pair[0], pair[1]);
    datagrams();
    return 0;
}

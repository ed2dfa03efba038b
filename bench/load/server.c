/* The least that an HTTP server can do: one thread, a fixed answer to whatever comes, connections kept.
   A client that is loaded with this is loaded as much as a server can.  Prints its port.  */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 200 OK\r\n"
    "Server: tiny\r\n"
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n"
    "\r\n"
    "Hello, World!";

static int must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(bind(listener, (struct sockaddr *)&address, length), "bind");
    must(listen(listener, 4096), "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    int epoll = must(epoll_create1(0), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int n_events = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n_events; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client < 0)
                    continue;
                int one = 1;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.events = EPOLLIN;
                event.data.fd = client;
                must(epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
                continue;
            }
            /* One request at a time on a connection, and each fits: one read is one request.  */
            char request[16384];
            if (read(descriptor, request, sizeof request) <= 0 ||
                write(descriptor, answer, sizeof answer - 1) < 0)
                close(descriptor);
        }
    }
}

/* What both ends of the bench share: sockets of loopback, the clock, and where an HTTP message ends (as framing.py).
 *
 * Knows nothing of agents or calls. Trusts its peers, which are the two ends of the bench and a gateway under test.
 */
#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MOST = 16384, FILLER_MOST = 1 << 20, STAMP_DIGITS = 19 };
static const int64_t SECOND_NS = 1000000000;

/* The text of a failure goes to stderr; the bench shows it. */
#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

/* CLOCK_MONOTONIC, which every process of the machine shares: Python's perf_counter_ns. */
static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline void *grown(void *old, size_t bytes) {
    void *memory = realloc(old, bytes);
    if (memory == NULL) DIE("no memory");
    return memory;
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void without_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* Edge-triggered and both ways: one system call for the whole life of a connection. */
static inline void watch(int poll, int fd, uint32_t events, void *what) {
    struct epoll_event event = {.events = events, .data.ptr = what};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) DIE("epoll_ctl: %s", strerror(errno));
}

/* Let the timer expire at a moment of now_ns(), at once when it has passed; 0: never. */
static inline void arm(int timer, int64_t at_ns) {
    struct itimerspec spec = {.it_value = {at_ns / SECOND_NS, at_ns % SECOND_NS}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) < 0) DIE("timerfd: %s", strerror(errno));
}

/* Body bytes that mean nothing; one block for everybody. */
static inline const char *filler(void) {
    static char *block;
    if (block == NULL) memset(block = grown(NULL, FILLER_MOST), 'x', FILLER_MOST);
    return block;
}

/* What is still to be written: some bytes, then filler. */
struct outgoing {
    const char *bytes;
    size_t left;
    int64_t filler_left;
};

/* Write what the socket takes. 1: all has left; 0: the rest waits for room; -1: the connection is gone. */
static inline int push(int fd, struct outgoing *out) {
    while (out->left > 0 || out->filler_left > 0) {
        bool last = out->left == 0;
        int64_t most = last ? (out->filler_left < FILLER_MOST ? out->filler_left : FILLER_MOST) : (int64_t)out->left;
        ssize_t n = send(fd, last ? filler() : out->bytes, (size_t)most, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        if (last) {
            out->filler_left -= n;
        } else {
            out->bytes += n;
            out->left -= (size_t)n;
        }
    }
    return 1;
}

/* One request or response while it arrives; its head is whole once `headed`. All zero: nothing has arrived. */
struct message {
    unsigned held;
    bool headed, chunked;
    int64_t missing;
    char tail[5];
};

static inline const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found == NULL ? NULL : found + strlen(name) + strspn(found + strlen(name), " \t");
}

/* No body of the bench contains "0\r\n\r\n", so the last chunk's place need not be parsed. */
static inline bool message_body(struct message *m, const char *data, size_t n) {
    if (!m->chunked) return (m->missing -= (int64_t)n) <= 0;
    if (n >= 5) {
        memcpy(m->tail, data + n - 5, 5);
    } else if (n > 0) {
        memmove(m->tail, m->tail + n, 5 - n);
        memcpy(m->tail + 5 - n, data, n);
    }
    return memcmp(m->tail, "0\r\n\r\n", 5) == 0;
}

/* Take what has arrived; true: the message is complete. `head` has HEAD_MOST bytes and ends up NUL-terminated. */
static inline bool message_feed(struct message *m, char *head, const char *data, size_t n) {
    if (m->headed) return message_body(m, data, n);
    size_t before = m->held, room = HEAD_MOST - 1 - before, taken = n < room ? n : room;
    memcpy(head + before, data, taken);
    head[m->held += (unsigned)taken] = 0;
    char *end = strstr(head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (end == NULL) {
        if (taken < n) DIE("a head of more than %d bytes", HEAD_MOST);
        return false;
    }
    end[2] = 0;
    m->headed = true;
    const char *length = field(head, "\r\ncontent-length:"), *coding = field(head, "\r\ntransfer-encoding:");
    m->missing = length != NULL ? atoll(length) : 0;
    m->chunked = length == NULL && coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
    size_t body_at = (size_t)(end + 4 - head) - before;
    return message_body(m, data + body_at, n - body_at);
}

#endif

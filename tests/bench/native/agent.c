/* The fast agent of the bench: answers by the end of the path, as agent.py does, which says what each route is.
 *
 *     agent PORT CHAT LONG EVENT_BEFORE_STAMP EVENT_AFTER_STAMP USAGE_EVENT
 *
 * The bodies come from answers.py by way of the command line, so that both agents say the same, byte for byte.
 * One thread, one epoll, edge-triggered. Knows nothing of gateways.
 */
#include "wire.h"

enum { ROUTE_MOST = 32, EVENTS_AT_ONCE = 256, READ_MOST = 1 << 18 };
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";
static const double GOLDEN = 0.618033988749895;

struct answer {
    char *bytes;
    size_t length;
};

struct peer {
    int fd;
    bool gone;         /* closed, and freed once nobody points to it */
    bool paced;        /* the pacer points to it */
    struct peer *next; /* the one buried before it */
    struct message request;
    char *head;        /* HEAD_MOST bytes, of which a small request touches one page */
    char *own;         /* an answer's head that was made for this peer alone */
    struct outgoing out;
};

static int poll_fd, timer_fd;
static struct answer chat, long_chat, ready, missing, stream_start, flood;
static const char *event_before, *event_after, *usage_event;
static long flood_events;

/* ---- answers ---- */

static struct answer whole(const char *status, const char *type, const char *body) {
    struct answer made;
    made.length = (size_t)asprintf(&made.bytes, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                                   status, type, strlen(body), body);
    return made;
}

/* Write one chunk: before, the time of now in 19 digits, after; return its length. */
static size_t stamped_event(char *to) {
    size_t size = strlen(event_before) + STAMP_DIGITS + strlen(event_after);
    return (size_t)sprintf(to, "%zx\r\n%s%0*lld%s\r\n", size, event_before, STAMP_DIGITS, (long long)now_ns(), event_after);
}

static size_t event_most(void) { return strlen(event_before) + STAMP_DIGITS + strlen(event_after) + 32; }

/* A whole answer of so many events, the usage and the end, as a fast model sends it. One of another number is not freed:
 * it may still be under way. */
static struct answer *flood_of(long events) {
    if (flood_events == events) return &flood;
    char *at = flood.bytes = grown(NULL, sizeof STREAM_HEAD + (size_t)events * event_most() + 4096);
    at += sprintf(at, "%s", STREAM_HEAD);
    for (long i = 0; i < events; i++) at += stamped_event(at);
    at += sprintf(at, "%zx\r\n%s\r\n", strlen(usage_event), usage_event);
    at += sprintf(at, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    flood_events = events;
    flood.length = (size_t)(at - flood.bytes);
    return &flood;
}

/* ---- the pacer: a heap of streams by when their next event is due ---- */

struct pace {
    int64_t due_ns, interval_ns;
    struct peer *peer;
};

static struct pace *heap;
static size_t paced, paced_room;

static void sift_down(size_t at) {
    for (size_t child; (child = 2 * at + 1) < paced; at = child) {
        if (child + 1 < paced && heap[child + 1].due_ns < heap[child].due_ns) child++;
        if (heap[at].due_ns <= heap[child].due_ns) return;
        struct pace swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
    }
}

static void pace(struct peer *peer, long per_second) {
    static uint64_t number;
    if (paced == paced_room) heap = grown(heap, (paced_room = 2 * paced_room + 64) * sizeof *heap);
    double spread = (double)++number * GOLDEN;
    int64_t interval_ns = SECOND_NS / per_second;
    struct pace fresh = {now_ns() + (int64_t)((spread - (double)(int64_t)spread) * (double)interval_ns), interval_ns, peer};
    size_t at = paced++;
    for (; at > 0 && heap[(at - 1) / 2].due_ns > fresh.due_ns; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = fresh;
    peer->paced = true;
    arm(timer_fd, heap[0].due_ns);
}

/* ---- peers ---- */

/* Events of the same batch may still point to a peer: it is freed when the batch is done. */
static struct peer *buried;

static void bury(struct peer *peer) {
    peer->next = buried;
    buried = peer;
}

static void forget_buried(void) {
    for (struct peer *peer; (peer = buried) != NULL;) {
        buried = peer->next;
        free(peer->head);
        free(peer->own);
        free(peer);
    }
}

static void hang_up(struct peer *peer) {
    if (peer->gone) return;
    close(peer->fd);
    peer->gone = true;
}

/* A stream that does not take an event whole has fallen behind: it is ended, and the load generator says so. */
static void send_event(struct peer *peer) {
    char event[4096];
    size_t length = stamped_event(event);
    if (send(peer->fd, event, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) hang_up(peer);
}

static void send_due(void) {
    uint64_t expired;
    if (read(timer_fd, &expired, sizeof expired) < 0 && errno != EAGAIN) DIE("timerfd: %s", strerror(errno));
    while (paced > 0 && heap[0].due_ns <= now_ns()) {
        struct peer *peer = heap[0].peer;
        if (!peer->gone) send_event(peer);
        if (peer->gone) {
            bury(peer);
            heap[0] = heap[--paced];
        } else {
            heap[0].due_ns += heap[0].interval_ns;
        }
        sift_down(0);
    }
    if (paced > 0) arm(timer_fd, heap[0].due_ns);
}

static void say(struct peer *peer, const struct answer *answer, int64_t filler_bytes) {
    peer->out = (struct outgoing){answer->bytes, answer->length, filler_bytes};
    if (push(peer->fd, &peer->out) < 0) hang_up(peer);
}

static void say_filler(struct peer *peer, long long bytes) {
    free(peer->own);
    struct answer head;
    head.length = (size_t)asprintf(
        &peer->own, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %lld\r\n\r\n", bytes);
    head.bytes = peer->own;
    say(peer, &head, bytes);
}

/* The route is the end of the path: /agents/x/paced/20 is `paced`, 20. */
static void route_of(const char *head, char *kind, long long *number) {
    const char *end = strstr(head, " HTTP/1.1\r\n"), *at = end;
    *kind = 0;
    *number = 0;
    if (end == NULL) return;
    while (at > head && at[-1] >= '0' && at[-1] <= '9') at--;
    bool numbered = at < end && at > head && at[-1] == '/';
    if (numbered) {
        *number = atoll(at);
        end = at - 1;
    }
    for (at = end; at > head && at[-1] != '/' && end - at < ROUTE_MOST - 1; at--) {}
    memcpy(kind, at, (size_t)(end - at));
    kind[end - at] = 0;
}

static void answer(struct peer *peer) {
    char kind[ROUTE_MOST];
    long long number;
    route_of(peer->head, kind, &number);
    if (strcmp(kind, "chat") == 0) say(peer, &chat, 0);
    else if (strcmp(kind, "long") == 0) say(peer, &long_chat, 0);
    else if (strcmp(kind, "megabyte") == 0) say_filler(peer, 1000000);
    else if (strcmp(kind, "bytes") == 0) say_filler(peer, number);
    else if (strcmp(kind, "flood") == 0) say(peer, flood_of(number), 0);
    else if (strcmp(kind, "readyz") == 0) say(peer, &ready, 0);
    else if (strcmp(kind, "idle") == 0 || (strcmp(kind, "paced") == 0 && number > 0)) {
        say(peer, &stream_start, 0);
        if (!peer->gone) send_event(peer);
        if (!peer->gone && kind[0] == 'p') pace(peer, (long)number);
    } else say(peer, &missing, 0);
}

static void hear(struct peer *peer) {
    static char buffer[READ_MOST];
    while (!peer->gone) {
        ssize_t n = recv(peer->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) hang_up(peer);
        if (n <= 0) return;
        if (!message_feed(&peer->request, peer->head, buffer, (size_t)n)) continue;
        peer->request = (struct message){0};
        answer(peer);
        if (n < (ssize_t)sizeof buffer) return; /* nothing more was there; what comes is a new edge */
    }
}

static void meet(int listening) {
    for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct peer *peer = memset(grown(NULL, sizeof *peer), 0, sizeof *peer);
        peer->fd = fd;
        peer->head = grown(NULL, HEAD_MOST);
        without_delay(fd);
        watch(poll_fd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, peer);
    }
}

static int listening_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0)
        DIE("port %d: %s", port, strerror(errno));
    return fd;
}

static void serve(int listening) {
    struct epoll_event events[EVENTS_AT_ONCE];
    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS_AT_ONCE, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &poll_fd) {
                meet(listening);
                continue;
            }
            if (events[i].data.ptr == &timer_fd) {
                send_due();
                continue;
            }
            struct peer *peer = events[i].data.ptr;
            if (!peer->gone && (events[i].events & EPOLLOUT) && push(peer->fd, &peer->out) < 0) hang_up(peer);
            if (events[i].events & ~(uint32_t)EPOLLOUT) hear(peer);
            if (!peer->gone && (events[i].events & EPOLLRDHUP)) hear(peer); /* past a short read there is the end */
            if (peer->gone && !peer->paced) bury(peer);
        }
        forget_buried();
    }
}

int main(int argc, char **argv) {
    if (argc != 7) DIE("usage: agent PORT CHAT LONG EVENT_BEFORE_STAMP EVENT_AFTER_STAMP USAGE_EVENT");
    chat = whole("200 OK", "application/json", argv[2]);
    long_chat = whole("200 OK", "application/json", argv[3]);
    event_before = argv[4];
    event_after = argv[5];
    usage_event = argv[6];
    if (event_most() > 4096) DIE("an event of more than 4096 bytes");
    ready = whole("200 OK", "text/plain", "ready\n");
    missing = whole("404 Not Found", "text/plain", "no such route\n");
    stream_start = (struct answer){(char *)STREAM_HEAD, sizeof STREAM_HEAD - 1};
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listening = listening_on(atoi(argv[1]));
    watch(poll_fd, listening, EPOLLIN, &poll_fd);
    watch(poll_fd, timer_fd, EPOLLIN, &timer_fd);
    serve(listening);
}

/* The load generator of the bench: many connections to one port of loopback, as load.py starts and asks it.
 *
 *     load MODE PORT CONNECTIONS PER_SECOND BODY_BYTES CALLS REQUEST
 *
 * MODE   calls    each connection sends its next call as soon as the last was answered; CALLS of them in all, 0: no end
 *        churn    the same with a new connection for every call
 *        open     calls come at random times (Poisson, PER_SECOND in the mean) whether or not those before were answered
 *        streams  every connection opens one event stream and notes when each stamped event arrives
 * REQUEST is sent byte for byte, and after it BODY_BYTES of filler.
 *
 * Says `ready N` when N connections (streams: with their first event) are open. Then answers commands on stdin:
 * `mark` with a line of figures since the last mark, `grow N` with `ready N`, `stop` with a last line of figures, when
 * every call that was sent has been answered. With CALLS the last line comes by itself.
 * A wrong answer or a lost connection ends it, with the reason on stderr: a gateway that refuses is fast, and must not
 * look it. One thread, one epoll, edge-triggered. Knows nothing of what a figure means.
 */
#include "wire.h"

#include <math.h>

enum { EVENTS_AT_ONCE = 256, READ_MOST = 1 << 18, OPENING_AT_ONCE = 64, CARRY_MOST = 32 };
static const int64_t ANSWER_NS = 10 * 1000000000LL;
static const char STAMP[] = "\"t\":\"";
enum { STAMP_START = sizeof STAMP - 1, STAMP_MOST = STAMP_START + STAMP_DIGITS };

struct line {
    int fd;
    bool connected, waiting, opened;
    int64_t intended_ns; /* when its call should have been sent */
    struct message answer;
    char *head;
    struct outgoing out;
    /* of a stream: */
    char carry[CARRY_MOST];
    size_t carried;
    unsigned events;
    int64_t last_delay_ns;
    struct line *next_free;
};

/* Nanoseconds, as many as there were. */
struct samples {
    int64_t *ns;
    size_t count, room;
};

static bool churning, streaming, open_loop, stopping;
static int port, poll_fd, timer_fd, wanted, under_way, opening, opened;
static double per_second;
static int64_t body_bytes, calls_left = -1, last_mark_ns, due_ns, answers, waiting, received, deadline_ns;
static const char *request;
static size_t request_length;
static struct line **lines;
static struct line *free_lines;
static struct samples delays, gaps;

/* ---- figures ---- */

static void note(struct samples *samples, int64_t ns) {
    if (samples->count == samples->room)
        samples->ns = grown(samples->ns, (samples->room = 2 * samples->room + 4096) * sizeof *samples->ns);
    samples->ns[samples->count++] = ns;
}

static int ascending(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void tell(const char *name, struct samples *samples) {
    if (samples->count == 0) return;
    qsort(samples->ns, samples->count, sizeof *samples->ns, ascending);
    const double shares[] = {0.50, 0.99, 1.0};
    const char *labels[] = {"p50", "p99", "max"};
    for (int i = 0; i < 3; i++) {
        size_t at = (size_t)((double)samples->count * shares[i]);
        printf(" %s_%s_ns %lld", name, labels[i], (long long)samples->ns[at < samples->count ? at : samples->count - 1]);
    }
    samples->count = 0;
}

/* Print and forget what was noted since the last mark. */
static void mark(void) {
    int64_t now = now_ns();
    size_t events = delays.count;
    printf("wall_ns %lld answers %lld bytes %lld", (long long)(now - last_mark_ns), (long long)answers, (long long)received);
    if (streaming) {
        unsigned least = UINT32_MAX;
        for (int i = 0; i < opened; i++) {
            if (lines[i]->events < least) least = lines[i]->events;
            lines[i]->events = 0;
        }
        printf(" events %zu least_events %u", events, least);
    }
    tell("delay", &delays);
    tell("gap", &gaps);
    putchar('\n');
    fflush(stdout);
    last_mark_ns = now_ns();
    answers = received = 0;
}

/* ---- calls ---- */

static void count_open(struct line *line) {
    if (line->opened) return;
    line->opened = true;
    opening--;
    opened++;
    if (deadline_ns != 0) deadline_ns = now_ns() + ANSWER_NS;
}

static void connect_line(struct line *line) {
    static unsigned number;
    struct sockaddr_in from = loopback(0), to = loopback(port);
    int one = 1;
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0) DIE("a connection cannot be opened: %s", strerror(errno));
    if (churning) { /* from many addresses, or the ports of one would run out */
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + ++number % 200);
        setsockopt(line->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(line->fd, (struct sockaddr *)&from, sizeof from) < 0) DIE("bind: %s", strerror(errno));
    }
    without_delay(line->fd);
    line->connected = false;
    if (connect(line->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        DIE("a connection was refused: %s", strerror(errno));
    watch(poll_fd, line->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, line);
}

static void send_call(struct line *line, int64_t intended_ns) {
    if (calls_left == 0) return;
    if (calls_left > 0) calls_left--;
    line->intended_ns = intended_ns;
    line->waiting = true;
    waiting++;
    line->out = (struct outgoing){request, request_length, body_bytes};
    if (push(line->fd, &line->out) < 0) DIE("a connection was lost in the middle of the run: %s", strerror(errno));
}

/* A moment of the future with no memory of the last one (-ln of a random share; seeded: every run has the same). */
static int64_t next_due(int64_t after_ns) {
    static uint64_t dice = 88172645463325252u;
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    double share = ((double)(dice >> 11) + 0.5) / 9007199254740992.0;
    return after_ns - (int64_t)(log(share) / per_second * 1e9);
}

/* Send what is due as long as a line is free; what waits for a line keeps its intended time. */
static void send_due(void) {
    for (; !stopping && free_lines != NULL && due_ns <= now_ns(); due_ns = next_due(due_ns)) {
        struct line *line = free_lines;
        free_lines = line->next_free;
        send_call(line, due_ns);
    }
    if (!stopping && free_lines != NULL) arm(timer_fd, due_ns);
}

static void be_free(struct line *line) {
    line->next_free = free_lines;
    free_lines = line;
    if (due_ns <= now_ns()) send_due();
    else if (line->next_free == NULL) arm(timer_fd, due_ns); /* while no line was free, it was not */
}

static void answered(struct line *line) {
    answers++;
    waiting--;
    line->waiting = false;
    line->answer = (struct message){0};
    if (open_loop) note(&delays, now_ns() - line->intended_ns);
    if (churning) {
        close(line->fd);
        line->connected = false;
        if (!stopping && calls_left != 0) connect_line(line);
    } else if (open_loop) {
        be_free(line);
    } else if (!stopping) {
        send_call(line, 0);
    }
}

static void hear_answer(struct line *line, const char *data, size_t n) {
    bool whole = message_feed(&line->answer, line->head, data, n);
    if (!line->answer.headed && !whole) return;
    if (strncmp(line->head, "HTTP/1.1 200", 12) != 0) DIE("wrong answer: %.*s", (int)(n < 900 ? n : 900), data);
    if (!line->waiting) DIE("an answer that nobody asked for");
    if (whole) answered(line);
}

/* ---- streams ---- */

/* `data` begins with what the line carried: the start of a stamp that an earlier read cut in two. */
static void hear_events(struct line *line, const char *data, size_t n) {
    int64_t now = now_ns();
    const char *at = data, *end = data + n, *rest = data;
    while ((at = memmem(at, (size_t)(end - at), STAMP, STAMP_START)) != NULL && end - at >= STAMP_MOST) {
        int64_t sent_ns = 0;
        for (int i = STAMP_START; i < STAMP_MOST; i++) sent_ns = 10 * sent_ns + at[i] - '0';
        if (line->opened) {
            note(&delays, now - sent_ns);
            int64_t gap = now - sent_ns - line->last_delay_ns;
            if (line->events > 0) note(&gaps, gap < 0 ? -gap : gap);
            line->events++;
        }
        line->last_delay_ns = now - sent_ns;
        rest = at += STAMP_MOST;
        count_open(line);
    }
    line->carried = (size_t)(end - rest) < STAMP_MOST - 1 ? (size_t)(end - rest) : STAMP_MOST - 1;
    memcpy(line->carry, end - line->carried, line->carried);
}

/* The head is looked at once; a head that comes in two parts is one that no gateway of the bench sends. */
static void check_stream(const char *data, size_t n) {
    if (n < 12 || memcmp(data, "HTTP/1.1 200", 12) != 0) DIE("a stream was not opened: %.*s", (int)(n < 600 ? n : 600), data);
}

/* ---- connections ---- */

static void hear(struct line *line, bool ended) {
    static char buffer[CARRY_MOST + READ_MOST];
    for (int fd = line->fd; line->connected && line->fd == fd;) {
        memcpy(buffer, line->carry, line->carried);
        char *data = buffer + line->carried;
        ssize_t n = recv(fd, data, READ_MOST, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) DIE("a connection was lost in the middle of the run: %s", n < 0 ? strerror(errno) : "closed by the gateway");
        received += n;
        if (streaming) {
            if (!line->opened && line->carried == 0) check_stream(data, (size_t)n);
            hear_events(line, buffer, (size_t)n + line->carried);
        } else {
            hear_answer(line, data, (size_t)n);
        }
        if (n < READ_MOST && !ended) return; /* nothing more was there; what comes is a new edge */
    }
}

static void connected(struct line *line) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) DIE("a connection was refused: %s", strerror(error));
    line->connected = true;
    if (streaming) {
        send_call(line, 0);
        return;
    }
    count_open(line);
    if (open_loop) be_free(line);
    else send_call(line, 0);
}

static void open_lines(void) {
    for (; under_way < wanted && opening < OPENING_AT_ONCE; under_way++, opening++) {
        struct line *line = memset(grown(NULL, sizeof *line), 0, sizeof *line);
        lines[under_way] = line;
        line->head = streaming ? NULL : grown(NULL, HEAD_MOST);
        connect_line(line);
    }
}

static void grow_to(int count) {
    wanted = count;
    lines = grown(lines, (size_t)wanted * sizeof *lines);
    deadline_ns = now_ns() + ANSWER_NS;
    open_lines();
}

/* ---- commands ---- */

static void finish(void) {
    mark();
    exit(0);
}

static void obey(const char *command) {
    if (strcmp(command, "mark") == 0) mark();
    else if (strncmp(command, "grow ", 5) == 0) grow_to(atoi(command + 5));
    else if (strcmp(command, "stop") == 0) {
        stopping = true;
        deadline_ns = now_ns() + ANSWER_NS;
        if (streaming) finish();
    } else DIE("what is '%s'?", command);
}

static void listen_to_stdin(void) {
    static char text[256];
    static size_t held;
    ssize_t n = read(STDIN_FILENO, text + held, sizeof text - 1 - held);
    if (n <= 0) exit(0); /* whoever asked has gone */
    text[held += (size_t)n] = 0;
    for (char *end; (end = strchr(text, '\n')) != NULL; held = strlen(text)) {
        *end = 0;
        obey(text);
        memmove(text, end + 1, strlen(end + 1) + 1);
    }
}

static void serve_event(struct epoll_event *event) {
    uint64_t expired;
    if (event->data.ptr == &timer_fd) {
        if (read(timer_fd, &expired, sizeof expired) > 0) send_due();
    } else if (event->data.ptr == &poll_fd) {
        listen_to_stdin();
    } else {
        struct line *line = event->data.ptr;
        int fd = line->fd;
        if (!line->connected) connected(line);
        else if ((event->events & EPOLLOUT) && push(line->fd, &line->out) < 0) DIE("a connection was lost: %s", strerror(errno));
        if (line->fd == fd && (event->events & ~(uint32_t)EPOLLOUT)) hear(line, event->events & EPOLLRDHUP);
    }
}

static void run(void) {
    struct epoll_event events[EVENTS_AT_ONCE];
    bool told = false;
    for (int announced = 0;;) {
        int count = epoll_wait(poll_fd, events, EVENTS_AT_ONCE, deadline_ns != 0 ? 100 : -1);
        for (int i = 0; i < count; i++) serve_event(&events[i]);
        open_lines();
        if (opened == wanted && announced != wanted) {
            announced = wanted;
            deadline_ns = 0;
            told = true;
            printf("ready %d\n", opened);
            fflush(stdout);
        }
        if (told && waiting == 0 && (stopping || calls_left == 0)) finish();
        if (deadline_ns == 0 || now_ns() < deadline_ns) continue;
        if (stopping) DIE("%lld calls had no answer after %lld s", (long long)waiting, (long long)(ANSWER_NS / SECOND_NS));
        DIE("%d of %d connections were open after %lld s", opened, wanted, (long long)(ANSWER_NS / SECOND_NS));
    }
}

int main(int argc, char **argv) {
    if (argc != 8) DIE("usage: load MODE PORT CONNECTIONS PER_SECOND BODY_BYTES CALLS REQUEST");
    churning = strcmp(argv[1], "churn") == 0;
    streaming = strcmp(argv[1], "streams") == 0;
    open_loop = strcmp(argv[1], "open") == 0;
    port = atoi(argv[2]);
    per_second = atof(argv[4]);
    body_bytes = atoll(argv[5]);
    if (atoll(argv[6]) > 0) calls_left = atoll(argv[6]);
    request = argv[7];
    request_length = strlen(request);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(poll_fd, timer_fd, EPOLLIN, &timer_fd);
    watch(poll_fd, STDIN_FILENO, EPOLLIN, &poll_fd);
    last_mark_ns = due_ns = now_ns();
    grow_to(atoi(argv[3]));
    run();
}

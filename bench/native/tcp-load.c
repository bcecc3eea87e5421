/*
 * The kernel's TCP, as client of what is measured and as the reference server. Content is a pattern of a prime length,
 * and is checked where it arrives: a byte that is wrong ends the program.
 *
 * tcp-load serve                                discard (5001), generate (5002), echo (5003), one thread and epoll
 * tcp-load send ADDRESS SECONDS                 to 5001, until the peer has closed; prints bytes and seconds
 * tcp-load receive ADDRESS SECONDS              from 5002
 * tcp-load connect ADDRESS SECONDS PARALLEL     connect, shut down, read the end, close: how many, and for how long
 * tcp-load ask ADDRESS SECONDS                  a byte to 5003 and back: how many, and for how long
 * tcp-load fetch ADDRESS SECONDS                one short flow after the other: connect, 16 KiB to 5003 and back, close;
 *                                               prints how many, for how long, and percentiles of what one took in us
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DISCARD = 5001, GENERATE = 5002, ECHO = 5003, PERIOD = 65521, CHUNK = 256 * 1024, FDS = 4096, LISTENERS = 3 };

static uint8_t pattern[PERIOD + CHUNK];
static uint8_t buffer[CHUNK];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* The same in bench/tcp-content.ts. */
static void make_pattern(void) {
  uint32_t x = 12345;
  for (int i = 0; i < PERIOD; i++) {
    x = x * 1664525 + 1013904223;
    pattern[i] = (uint8_t)(x >> 24);
  }
  for (int i = PERIOD; i < PERIOD + CHUNK; i++) pattern[i] = pattern[i - PERIOD];
}

static void check(uint64_t offset, size_t n) {
  if (memcmp(buffer, pattern + offset % PERIOD, n) == 0) return;
  fprintf(stderr, "wrong bytes within %zu at %llu\n", n, (unsigned long long)offset);
  exit(1);
}

static void set(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) < 0) fail("setsockopt");
}

static int new_socket(int flags) {
  int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
  if (fd < 0) fail("socket");
  /* Whatever the machine's default is, and as the other end has it. */
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) < 0) fail("cubic");
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

static int connect_to(const char *address, int port, int flags) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int fd = new_socket(flags);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) fail("connect");
  return fd;
}

static void result(const char *what, uint64_t count, double seconds) {
  printf("%s %llu seconds %.6f\n", what, (unsigned long long)count, seconds);
}

static void send_for(const char *address, double seconds) {
  int fd = connect_to(address, DISCARD, 0);
  double start = now();
  uint64_t sent = 0;
  while (now() - start < seconds) {
    ssize_t n = send(fd, pattern + sent % PERIOD, CHUNK / 2, 0);
    if (n < 0) fail("send");
    sent += (uint64_t)n;
  }
  shutdown(fd, SHUT_WR);
  if (recv(fd, buffer, 1, 0) != 0) fail("no end from the peer");
  result("bytes", sent, now() - start);
}

static void receive_for(const char *address, double seconds) {
  int fd = connect_to(address, GENERATE, 0);
  double start = now();
  uint64_t received = 0;
  while (now() - start < seconds) {
    ssize_t n = recv(fd, buffer, CHUNK, 0);
    if (n <= 0) fail("recv");
    check(received, (size_t)n);
    received += (uint64_t)n;
  }
  result("bytes", received, now() - start);
}

static void ask_for(const char *address, double seconds) {
  int fd = connect_to(address, ECHO, 0);
  double start = now();
  uint64_t answers = 0;
  for (; now() - start < seconds; answers++) {
    if (send(fd, pattern, 1, 0) != 1 || recv(fd, buffer, 1, 0) != 1) fail("ask");
  }
  result("answers", answers, now() - start);
}

static int ascending(const void *a, const void *b) {
  return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static void fetch_for(const char *address, double seconds) {
  enum { SIZE = 16384, MOST = 1 << 20 };
  static double took[MOST];
  double start = now();
  int flows = 0;
  for (double begun = start; begun - start < seconds && flows < MOST; flows++) {
    int fd = connect_to(address, ECHO, 0);
    if (send(fd, pattern, SIZE, 0) != SIZE) fail("send");
    shutdown(fd, SHUT_WR);
    size_t received = 0;
    for (ssize_t n; (n = recv(fd, buffer, CHUNK, 0)) != 0; received += (size_t)n) {
      if (n < 0) fail("recv");
      check(received, (size_t)n);
    }
    if (received != SIZE) fail("short");
    close(fd);
    double end = now();
    took[flows] = (end - begun) * 1e6;
    begun = end;
  }
  result("flows", (uint64_t)flows, now() - start);
  qsort(took, (size_t)flows, sizeof *took, ascending);
  printf("p50 %.1f p99 %.1f\n", took[flows / 2], took[flows - 1 - flows / 100]);
}

/* Each of the parallel ones begins anew when it is over. */
static void connect_for(const char *address, double seconds, int parallel) {
  int epoll = epoll_create1(0);
  double start = now();
  uint64_t done = 0;
  int open = 0;
  for (; open < parallel; open++) {
    int fd = connect_to(address, ECHO, SOCK_NONBLOCK);
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  while (now() - start < seconds) {
    struct epoll_event events[64];
    int n = epoll_wait(epoll, events, 64, 1000);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if ((events[i].events & EPOLLOUT) != 0) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) errno = error, fail("connect");
        shutdown(fd, SHUT_WR);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
        continue;
      }
      if (recv(fd, buffer, 1, 0) != 0) fail("no end from the peer");
      close(fd);
      done++;
      fd = connect_to(address, ECHO, SOCK_NONBLOCK);
      struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }
  result("connections", done, now() - start);
}

/* ---- the reference server ---- */

static struct { int port; uint64_t count; } served[FDS];

static void end(int fd) {
  close(fd);
}

static void readable(int fd) {
  ssize_t n = recv(fd, buffer, CHUNK, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return end(fd);
  if (served[fd].port == DISCARD) check(served[fd].count, (size_t)n);
  else if (served[fd].port == ECHO && send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n) return end(fd);
  served[fd].count += (uint64_t)n;
}

static void writable(int fd) {
  ssize_t n = send(fd, pattern + served[fd].count % PERIOD, CHUNK, MSG_NOSIGNAL);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) return end(fd);
  served[fd].count += (uint64_t)n;
}

static void serve(void) {
  static const int ports[LISTENERS] = {DISCARD, GENERATE, ECHO};
  int listeners[LISTENERS];
  int epoll = epoll_create1(0);
  for (int i = 0; i < LISTENERS; i++) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ports[i])};
    listeners[i] = new_socket(SOCK_NONBLOCK);
    set(listeners[i], SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(listeners[i], (struct sockaddr *)&any, sizeof any) < 0) fail("bind");
    if (listen(listeners[i], 4096) < 0) fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listeners[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event);
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      int listener = -1;
      for (int j = 0; j < LISTENERS; j++) if (listeners[j] == fd) listener = j;
      if (listener < 0) {
        if ((events[i].events & EPOLLOUT) != 0) writable(fd);
        else readable(fd);
        continue;
      }
      int accepted;
      while ((accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (accepted >= FDS) fail("too many connections");
        served[accepted].port = ports[listener];
        served[accepted].count = 0;
        struct epoll_event event = {.events = ports[listener] == GENERATE ? EPOLLOUT : EPOLLIN, .data.fd = accepted};
        epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &event);
      }
    }
  }
}

int main(int argc, char **argv) {
  make_pattern();
  signal(SIGPIPE, SIG_IGN);
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "serve") == 0) return serve(), 0;
  if (argc < 4) return fputs("usage: see the source\n", stderr), 2;
  double seconds = atof(argv[3]);
  if (strcmp(what, "send") == 0) send_for(argv[2], seconds);
  else if (strcmp(what, "receive") == 0) receive_for(argv[2], seconds);
  else if (strcmp(what, "ask") == 0) ask_for(argv[2], seconds);
  else if (strcmp(what, "fetch") == 0) fetch_for(argv[2], seconds);
  else if (strcmp(what, "connect") == 0 && argc == 5) connect_for(argv[2], seconds, atoi(argv[4]));
  else return fputs("usage: see the source\n", stderr), 2;
  return 0;
}

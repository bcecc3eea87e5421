/*
 * One end of a bulk flow of the kernel's TCP, for the comparison (bench/compare). Content is a pattern of a prime
 * length, as in tcp-load.c, and is checked where it arrives. Times are of CLOCK_MONOTONIC. Congestion control is
 * CUBIC, by setsockopt, since a namespace cannot have it as its default everywhere.
 *
 * tcp-flow receive PORT SECONDS SLOT     prints "ready", takes one connection, and resets it after SECONDS; then JSON:
 *                                        when it began, bytes in all, and bytes for each SLOT seconds
 * tcp-flow send ADDRESS PORT LIMIT EVERY sends until it is reset, or for LIMIT seconds; then JSON: TCP_INFO at the
 *                                        end, and of every EVERY seconds (0: of none)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD = 65521, CHUNK = 256 * 1024, SLOTS = 4096 };

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

static void make_pattern(void) {
  uint32_t x = 12345;
  for (int i = 0; i < PERIOD; i++) {
    x = x * 1664525 + 1013904223;
    pattern[i] = (uint8_t)(x >> 24);
  }
  for (int i = PERIOD; i < PERIOD + CHUNK; i++) pattern[i] = pattern[i - PERIOD];
}

static int new_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("socket");
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) < 0) fail("cubic");
  return fd;
}

static int wait_for(int fd, short events, double seconds) {
  struct pollfd one = {.fd = fd, .events = events};
  int n = poll(&one, 1, seconds <= 0 ? 0 : (int)(seconds * 1000) + 1);
  if (n < 0) fail("poll");
  return n > 0;
}

static void receive_for(int port, double seconds, double slot) {
  static uint64_t slots[SLOTS];
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int listener = new_socket();
  if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0) fail("bind");
  if (listen(listener, 1) < 0) fail("listen");
  puts("ready");
  fflush(stdout);
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("accept");
  double start = now();
  uint64_t received = 0;
  for (;;) {
    double elapsed = now() - start;
    if (elapsed >= seconds) break;
    if (!wait_for(fd, POLLIN, seconds - elapsed)) continue;
    ssize_t n = recv(fd, buffer, CHUNK, 0);
    if (n <= 0) fail("recv");
    elapsed = now() - start;
    if (elapsed >= seconds) break;
    if (memcmp(buffer, pattern + received % PERIOD, (size_t)n) != 0) {
      fprintf(stderr, "wrong bytes within %zd at %llu\n", n, (unsigned long long)received);
      exit(1);
    }
    received += (uint64_t)n;
    size_t at = (size_t)(elapsed / slot);
    if (at < SLOTS) slots[at] += (uint64_t)n;
  }
  struct linger none = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
  printf("{\"start\":%.6f,\"bytes\":%llu,\"slots\":[", start, (unsigned long long)received);
  size_t count = (size_t)(seconds / slot + 0.5);
  for (size_t i = 0; i < count && i < SLOTS; i++) printf("%s%llu", i == 0 ? "" : ",", (unsigned long long)slots[i]);
  puts("]}");
}

/* The names are those of tcp_info, in its units. */
static void print_info(int fd, double time) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) fail("TCP_INFO");
  printf("{\"time\":%.6f,\"ca_state\":%u,\"snd_cwnd\":%u,\"snd_ssthresh\":%u,\"snd_mss\":%u,\"rtt\":%u,\"min_rtt\":%u,"
         "\"unacked\":%u,\"sacked\":%u,\"lost\":%u,\"retrans\":%u,\"total_retrans\":%u,\"reordering\":%u,"
         "\"bytes_acked\":%llu,\"busy_time\":%llu,\"rwnd_limited\":%llu,\"sndbuf_limited\":%llu}",
         time, info.tcpi_ca_state, info.tcpi_snd_cwnd, info.tcpi_snd_ssthresh, info.tcpi_snd_mss, info.tcpi_rtt,
         info.tcpi_min_rtt, info.tcpi_unacked, info.tcpi_sacked, info.tcpi_lost, info.tcpi_retrans,
         info.tcpi_total_retrans, info.tcpi_reordering, (unsigned long long)info.tcpi_bytes_acked,
         (unsigned long long)info.tcpi_busy_time, (unsigned long long)info.tcpi_rwnd_limited,
         (unsigned long long)info.tcpi_sndbuf_limited);
}

static void send_until_reset(const char *address, int port, double limit, double every) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int fd = new_socket();
  double start = now();
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  uint64_t sent = 0;
  uint64_t samples = 0;
  printf("{\"start\":%.6f,\"trace\":[", start);
  for (;;) {
    double elapsed = now() - start;
    if (elapsed >= limit) break;
    if (every > 0 && elapsed >= (double)samples * every) {
      if (samples > 0) putchar(',');
      samples = (uint64_t)(elapsed / every) + 1;
      print_info(fd, elapsed);
    }
    double wait = every > 0 ? (double)samples * every - elapsed : limit - elapsed;
    if (!wait_for(fd, POLLOUT, wait)) continue;
    ssize_t n = send(fd, pattern + sent % PERIOD, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0 && (errno == ECONNRESET || errno == EPIPE)) break;
    if (n < 0) fail("send");
    sent += (uint64_t)n;
  }
  printf("],\"info\":");
  print_info(fd, now() - start);
  puts("}");
}

int main(int argc, char **argv) {
  make_pattern();
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "receive") == 0 && argc == 5) return receive_for(atoi(argv[2]), atof(argv[3]), atof(argv[4])), 0;
  if (strcmp(what, "send") == 0 && argc == 6) {
    return send_until_reset(argv[2], atoi(argv[3]), atof(argv[4]), atof(argv[5])), 0;
  }
  return fputs("usage: see the source\n", stderr), 2;
}

/*
 * udp-flood send ADDRESS PAYLOAD SECONDS [SEGMENT]   sends as fast as it can; prints how many and for how long. With
 *                                                    SEGMENT each send is a super-segment that is cut so (UDP_SEGMENT)
 * udp-flood sink                                     owns the port and reads nothing, so that no ICMP error comes of it
 * udp-flood receive                                  reads all there is (UDP_GRO), and reports at SIGUSR2
 */
#include "responder.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

enum { PORT = 9, BATCH = 32, UDP = 17, OPTION_SEGMENT = 103, OPTION_GRO = 104 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int listening(int fd, int buffer) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0) return perror("bind"), 0;
  puts("ready");
  fflush(stdout);
  return 1;
}

static int sink(int fd) {
  if (!listening(fd, 1)) return 1;
  for (;;) pause();
}

static int receive(int fd) {
  static char buffer[65536];
  int on = 1;
  if (setsockopt(fd, UDP, OPTION_GRO, &on, sizeof on) < 0) return perror("UDP_GRO"), 1;
  take_signals();
  if (!listening(fd, 8 << 20)) return 1;
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  while (wait_readable(&readable, 1)) {
    reads++;
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) >= 0; packets++) bytes += (uint64_t)n;
  }
  return 0;
}

static int flood(int fd, const char *address, int payload, double seconds, int segment) {
  static char body[65536];
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  struct iovec part = {body, (size_t)payload};
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr.msg_iov = &part;
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || payload < 0 || payload > 65507) {
    return fprintf(stderr, "bad address or size\n"), 2;
  }
  if (segment > 0 && setsockopt(fd, UDP, OPTION_SEGMENT, &segment, sizeof segment) < 0) {
    return perror("UDP_SEGMENT"), 1;
  }
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return perror("connect"), 1;
  unsigned long long sent = 0;
  double start = now(), end = start;
  while ((end = now()) - start < seconds) {
    int n = sendmmsg(fd, messages, BATCH, 0);
    if (n < 0) return perror("sendmmsg"), 1;
    sent += (unsigned)n;
  }
  printf("sent %llu seconds %.6f\n", sent, end - start);
  return 0;
}

int main(int argc, char **argv) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return perror("socket"), 1;
  if (argc == 2 && strcmp(argv[1], "sink") == 0) return sink(fd);
  if (argc == 2 && strcmp(argv[1], "receive") == 0) return receive(fd);
  if ((argc == 5 || argc == 6) && strcmp(argv[1], "send") == 0) {
    return flood(fd, argv[2], atoi(argv[3]), atof(argv[4]), argc == 6 ? atoi(argv[5]) : 0);
  }
  fprintf(stderr, "usage: udp-flood send ADDRESS PAYLOAD SECONDS [SEGMENT] | udp-flood sink | udp-flood receive\n");
  return 2;
}

/*
 * udp-flood send ADDRESS PAYLOAD SECONDS [SEGMENT]
 *     sends as fast as it can, datagrams of SEGMENT bytes cut from PAYLOAD if given; prints how many calls' worth
 *     of PAYLOAD, and for how long
 * udp-flood sink                           owns the port and reads nothing, so that no ICMP error comes of it
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { PORT = 9, BATCH = 32 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int sink(int fd) {
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  int smallest = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0) return perror("bind"), 1;
  puts("ready");
  fflush(stdout);
  for (;;) pause();
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
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return perror("connect"), 1;
  if (segment > 0 && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) < 0)
    return perror("UDP_SEGMENT"), 1;
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
  if ((argc == 5 || argc == 6) && strcmp(argv[1], "send") == 0)
    return flood(fd, argv[2], atoi(argv[3]), atof(argv[4]), argc == 6 ? atoi(argv[5]) : 0);
  return fprintf(stderr, "usage: udp-flood send ADDRESS PAYLOAD SECONDS [SEGMENT] | udp-flood sink\n"), 2;
}

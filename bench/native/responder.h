/*
 * What the reference programs have in common: a TUN device that is waited for with poll, and a line of figures
 * whenever SIGUSR2 asks for it. "stats N {...}" is what the JavaScript programs write too.
 */
#ifndef RESPONDER_H
#define RESPONDER_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t packets, reads, lost, bytes;
static volatile sig_atomic_t asked, ended;
static sigset_t while_waiting;

static void on_signal(int signal) {
  if (signal == SIGUSR2) asked = 1;
  else ended = 1;
}

/* Signals come in ppoll only, so none is missed. */
static void take_signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
  sigaction(SIGUSR2, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* Since Linux 6.2, and not in the headers of every distribution. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static inline int open_tun_with(const char *name, short flags, unsigned long offload) {
  struct ifreq interface = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | flags)};
  strncpy(interface.ifr_name, name, IFNAMSIZ - 1);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &interface) < 0) {
    perror(name);
    exit(1);
  }
  if (offload != 0 && ioctl(fd, TUNSETOFFLOAD, offload) < 0) {
    perror("TUNSETOFFLOAD");
    exit(1);
  }
  return fd;
}

static inline int open_tun(const char *name) { return open_tun_with(name, 0, 0); }

/* Every packet with a virtio_net_hdr of 10 bytes, and super-segments in both directions. */
static inline int open_offloading_tun(const char *name) {
  return open_tun_with(name, IFF_VNET_HDR, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6);
}

static void report(void) {
  static int number;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t cpu = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                 (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  printf("stats %d {\"packets\":%llu,\"reads\":%llu,\"cpu\":%llu,\"lost\":%llu,\"bytes\":%llu}\n",
         ++number, (unsigned long long)packets, (unsigned long long)reads, (unsigned long long)cpu,
         (unsigned long long)lost, (unsigned long long)bytes);
  fflush(stdout);
}

/* Waits for a packet; 0 when it is time to end. */
static int wait_readable(struct pollfd *fds, int n) {
  for (;;) {
    if (asked) {
      asked = 0;
      report();
    }
    if (ended) return 0;
    if (ppoll(fds, (nfds_t)n, NULL, &while_waiting) > 0) return 1;
    if (errno != EINTR) {
      perror("ppoll");
      return 0;
    }
  }
}

static inline void put(int fd, const void *packet, size_t length) {
  if (write(fd, packet, length) != (ssize_t)length) lost++;
}

/* RFC 1624 eq. 3, of the big-endian word at `check`. */
static inline void update_checksum(uint8_t *check, uint32_t old_word, uint32_t new_word) {
  uint32_t sum = (uint32_t)((check[0] << 8 | check[1]) ^ 0xffff) + (old_word ^ 0xffff) + new_word;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  check[0] = (uint8_t)(sum >> 8);
  check[1] = (uint8_t)sum;
}

#endif

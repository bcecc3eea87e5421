/*
 * Holds a TUN device through which the kernel receives by NAPI, and so merges (GRO): `napi-tun DEVICE CPU`. Standard
 * input holds packets, each as its length in two bytes (high one first) and its bytes; length 0 ends a burst, which
 * is written at once and answered with a line. On CPU, where the kernel's thread that polls the device has to run
 * too, nothing else runs meanwhile: so the thread finds the whole burst, and no two bursts.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BURST 64

static unsigned char memory[BURST][65536];
static int lengths[BURST];

static int read_length(void) {
  int high = getchar();
  int low = getchar();
  return high == EOF || low == EOF ? -1 : high << 8 | low;
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_NAPI};
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) return fail("open");
  if (ioctl(fd, TUNSETIFF, &request) < 0) return fail("TUNSETIFF");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(atoi(argv[2]), &cpus);
  struct sched_param first = {.sched_priority = 1};
  if (sched_setaffinity(0, sizeof cpus, &cpus) < 0) return fail("sched_setaffinity");
  if (sched_setscheduler(0, SCHED_FIFO, &first) < 0) return fail("sched_setscheduler");
  puts("ready");
  fflush(stdout);
  int count = 0;
  for (;;) {
    int length = read_length();
    if (length < 0) return 0;
    if (length > 0) {
      if (count == BURST || fread(memory[count], 1, length, stdin) != (size_t)length) return 2;
      lengths[count++] = length;
      continue;
    }
    int written = 0;
    for (int i = 0; i < count; i++) written += write(fd, memory[i], lengths[i]) == lengths[i];
    count = 0;
    printf("%d\n", written);
    fflush(stdout);
  }
}

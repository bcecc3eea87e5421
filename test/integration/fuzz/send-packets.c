/*
 * Sends packets into a network device as they are: `send-packets DEVICE`. Standard input holds them, each as its
 * length in two bytes (high one first) and its bytes; length 0 ends a burst. A burst goes out in one call, and is
 * answered with a line: how many bursts there have been, and how many packets the kernel took of them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BURST 1024

static unsigned char memory[BURST * 2048];
static struct iovec parts[BURST];
static struct mmsghdr messages[BURST];

static int read_length(void) {
  int high = getchar();
  int low = getchar();
  return high == EOF || low == EOF ? -1 : high << 8 | low;
}

/* Sends the first `count`; one that the kernel refuses is passed over. */
static unsigned int send_burst(int fd, unsigned int count) {
  unsigned int sent = 0;
  for (unsigned int at = 0; at < count;) {
    int n = sendmmsg(fd, messages + at, count - at, 0);
    if (n > 0) {
      sent += n;
      at += n;
    } else if (errno != EINTR && errno != ENOBUFS) {
      at++;
    }
  }
  return sent;
}

int main(int argc, char **argv) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  int fd = socket(AF_PACKET, SOCK_DGRAM, 0);
  if (argc != 2 || fd < 0 || (to.sll_ifindex = if_nametoindex(argv[1])) == 0) {
    perror(argc == 2 ? argv[1] : "usage: send-packets DEVICE");
    return 1;
  }
  for (unsigned int i = 0; i < BURST; i++) {
    messages[i].msg_hdr.msg_name = &to;
    messages[i].msg_hdr.msg_namelen = sizeof to;
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  puts("ready");
  fflush(stdout);
  unsigned int count = 0, bursts = 0;
  unsigned long sent = 0;
  size_t used = 0;
  for (int length; (length = read_length()) >= 0;) {
    if (length == 0) {
      sent += send_burst(fd, count);
      printf("%u %lu\n", ++bursts, sent);
      fflush(stdout);
      count = 0;
      used = 0;
      continue;
    }
    if (count == BURST || used + length > sizeof memory) {
      fputs("the burst is too large\n", stderr);
      return 1;
    }
    if (fread(memory + used, 1, length, stdin) != (size_t)length) break;
    parts[count].iov_base = memory + used;
    parts[count++].iov_len = length;
    used += length;
  }
  return 0;
}

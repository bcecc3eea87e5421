/*
 * The limit of a TUN device: a program that does nothing but move packets.
 *
 * tun-bulk read DEVICE plain|offload             reads and forgets
 * tun-bulk write DEVICE plain|offload FROM TO    writes UDP datagrams with 1472 bytes, from the first SIGUSR2 on; with
 *                                                offload 44 of them as one super-segment, whose checksum is open
 * tun-bulk forward DEVICE DEVICE                 passes on what comes, super-segments as they are but for the TTL
 */
#include "responder.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>

enum { HEADERS = 28, PAYLOAD = 1472, SEGMENTS = 44, BURST = 64, PORT = 9 };

static uint8_t packet[sizeof(struct virtio_net_hdr) + 65536];

static uint32_t add_words(const uint8_t *at, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(at[i] << 8 | at[i + 1]);
  return sum;
}

static uint32_t fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

/* A UDP datagram, or super-segment, complete but for what the offload leaves open; its length. */
static size_t make_datagram(uint8_t *ip, int offload, const char *from, const char *to) {
  size_t payload = offload ? (size_t)PAYLOAD * SEGMENTS : PAYLOAD;
  uint8_t *udp = ip + 20;
  memset(ip, 0, HEADERS + payload);
  ip[0] = 0x45;
  put16(ip + 2, (uint32_t)(HEADERS + payload));
  ip[6] = 0x40;
  ip[8] = 64;
  ip[9] = 17;
  if (inet_pton(AF_INET, from, ip + 12) != 1 || inet_pton(AF_INET, to, ip + 16) != 1) {
    fprintf(stderr, "no addresses: %s, %s\n", from, to);
    exit(2);
  }
  put16(ip + 10, ~fold(add_words(ip, 20, 0)));
  put16(udp, PORT);
  put16(udp + 2, PORT);
  put16(udp + 4, (uint32_t)(8 + payload));
  for (size_t i = 0; i < payload; i++) udp[8 + i] = (uint8_t)i;
  uint32_t pseudo = add_words(ip + 12, 8, 17 + 8 + (uint32_t)payload);
  if (offload) put16(udp + 6, fold(pseudo));
  else put16(udp + 6, ~fold(add_words(udp, 8 + payload, pseudo)));
  return HEADERS + payload;
}

static int write_all(int fd, int offload, const char *from, const char *to) {
  struct virtio_net_hdr *header = (struct virtio_net_hdr *)packet;
  uint8_t *start = offload ? packet : packet + sizeof *header;
  size_t datagram = make_datagram(packet + sizeof *header, offload, from, to);
  memset(header, 0, sizeof *header);
  header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  header->gso_type = 5; /* VIRTIO_NET_HDR_GSO_UDP_L4 */
  header->hdr_len = HEADERS;
  header->gso_size = PAYLOAD;
  header->csum_start = 20;
  header->csum_offset = 6;
  size_t length = datagram + (size_t)(packet + sizeof *header - start);
  struct pollfd nothing = {.fd = -1};
  while (!asked && !ended) ppoll(&nothing, 1, NULL, &while_waiting);
  for (;;) {
    sigset_t pending;
    sigpending(&pending);
    if (sigismember(&pending, SIGUSR2) || sigismember(&pending, SIGTERM)) {
      struct timespec at_once = {0, 0};
      ppoll(&nothing, 1, &at_once, &while_waiting);
    }
    if (ended) return 0;
    if (asked) {
      asked = 0;
      report();
    }
    reads++;
    for (int i = 0; i < BURST; i++) {
      if (write(fd, start, length) != (ssize_t)length) lost++;
      packets++;
      bytes += datagram;
    }
  }
}

static int read_all(int fd, int offload) {
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  size_t header = offload ? sizeof(struct virtio_net_hdr) : 0;
  while (wait_readable(&readable, 1)) {
    reads++;
    for (int i = 0; i < BURST; i++) {
      ssize_t length = read(fd, packet, sizeof packet);
      if (length < 0) break;
      packets++;
      bytes += (uint64_t)length - header;
    }
  }
  return 0;
}

static int forward_all(const char *left, const char *right) {
  const size_t header = sizeof(struct virtio_net_hdr);
  struct pollfd readable[2] = {{.fd = open_offloading_tun(left), .events = POLLIN},
                               {.fd = open_offloading_tun(right), .events = POLLIN}};
  puts("ready");
  fflush(stdout);
  while (wait_readable(readable, 2)) {
    for (int side = 0; side < 2; side++) {
      if ((readable[side].revents & POLLIN) == 0) continue;
      reads++;
      for (int i = 0; i < BURST; i++) {
        ssize_t length = read(readable[side].fd, packet, sizeof packet);
        if (length < 0) break;
        uint8_t *ip = packet + header;
        packets++;
        bytes += (uint64_t)length - header;
        if ((size_t)length < header + 20 || ip[0] != 0x45 || ip[8] <= 1) continue;
        update_checksum(ip + 10, (uint32_t)(ip[8] << 8 | ip[9]), (uint32_t)((ip[8] - 1) << 8 | ip[9]));
        ip[8]--;
        put(readable[1 - side].fd, packet, (size_t)length);
      }
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  int offload = argc > 3 && strcmp(argv[3], "offload") == 0;
  take_signals();
  if (argc == 4 && strcmp(argv[1], "forward") == 0) return forward_all(argv[2], argv[3]);
  if (argc == 4 && strcmp(argv[1], "read") == 0) {
    int fd = offload ? open_offloading_tun(argv[2]) : open_tun(argv[2]);
    puts("ready");
    fflush(stdout);
    return read_all(fd, offload);
  }
  if (argc == 6 && strcmp(argv[1], "write") == 0) {
    int fd = offload ? open_offloading_tun(argv[2]) : open_tun(argv[2]);
    puts("ready");
    fflush(stdout);
    return write_all(fd, offload, argv[4], argv[5]);
  }
  fprintf(stderr, "usage: tun-bulk read DEVICE plain|offload | write DEVICE plain|offload FROM TO | forward DEVICE DEVICE\n");
  return 2;
}

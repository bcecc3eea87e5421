/*
 * The least that answers an echo request, or returns a UDP datagram, over a TUN: read, swap, update the checksum,
 * write. No check is made.
 */
#include "responder.h"

int main(int argc, char **argv) {
  static uint8_t packet[65536];
  if (argc != 2) return fprintf(stderr, "usage: echo DEVICE\n"), 2;
  take_signals();
  struct pollfd readable = {.fd = open_tun(argv[1]), .events = POLLIN};
  puts("ready");
  fflush(stdout);
  while (wait_readable(&readable, 1)) {
    reads++;
    for (;;) {
      ssize_t length = read(readable.fd, packet, sizeof packet);
      if (length < 0) {
        if (errno == EAGAIN) break;
        return perror("read"), 1;
      }
      packets++;
      int udp = packet[9] == 17;
      if (length < 28 || packet[0] != 0x45 || !(udp || (packet[9] == 1 && packet[20] == 8))) continue;
      uint8_t address[4];
      memcpy(address, packet + 12, 4);
      memcpy(packet + 12, packet + 16, 4);
      memcpy(packet + 16, address, 4);
      if (udp) {
        memcpy(address, packet + 20, 2);
        memcpy(packet + 20, packet + 22, 2);
        memcpy(packet + 22, address, 2);
      } else {
        packet[20] = 0;
        update_checksum(packet + 22, 8u << 8 | packet[21], packet[21]);
      }
      put(readable.fd, packet, (size_t)length);
    }
  }
  return 0;
}

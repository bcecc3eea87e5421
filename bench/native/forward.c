/* The least that passes packets from one TUN to another: read, TTL and checksum, write. No route is asked for. */
#include "responder.h"

/* As many packets of one device as a burst of the stack has, then the other's turn. */
enum { BURST = 64 };

int main(int argc, char **argv) {
  static uint8_t packet[65536];
  if (argc != 3) return fprintf(stderr, "usage: forward DEVICE DEVICE\n"), 2;
  take_signals();
  struct pollfd readable[2] = {{.fd = open_tun(argv[1]), .events = POLLIN},
                               {.fd = open_tun(argv[2]), .events = POLLIN}};
  puts("ready");
  fflush(stdout);
  while (wait_readable(readable, 2)) {
    for (int side = 0; side < 2; side++) {
      if ((readable[side].revents & POLLIN) == 0) continue;
      reads++;
      for (int i = 0; i < BURST; i++) {
        ssize_t length = read(readable[side].fd, packet, sizeof packet);
        if (length < 0) break;
        packets++;
        if (length < 20 || packet[0] != 0x45 || packet[8] <= 1) continue;
        update_checksum(packet + 10, (uint32_t)(packet[8] << 8 | packet[9]),
                        (uint32_t)((packet[8] - 1) << 8 | packet[9]));
        packet[8]--;
        put(readable[1 - side].fd, packet, (size_t)length);
      }
    }
  }
  return 0;
}

/* What UDP sockets of the kernel do, a line per fact: `socket-facts TUN`, on a TUN device that is up, with
   10.9.0.2/24 and a default route by 10.9.0.1. The test asks the stack the same. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_SEGMENT_OPTION 103
#define MTU_DISCOVER_OPTION 10

static int tun;
static unsigned char packet[70000];
static unsigned char data[70000];

/* The next UDP packet that the kernel sends within 20 ms; its length, or 0. */
static int take(void) {
  for (;;) {
    struct pollfd waiting = {tun, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) return 0;
    int length = read(tun, packet, sizeof packet);
    if (length > 28 && packet[0] == 0x45 && packet[9] == 17) return length;
  }
}

static struct sockaddr_in to(const char *address, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &name.sin_addr);
  return name;
}

static int udp(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0); }

static int set(int s, int level, int option, int value) {
  return setsockopt(s, level, option, &value, sizeof value);
}

static int result(int outcome) { return outcome < 0 ? errno : 0; }

static int send_to(int s, int length, const char *address, int port) {
  struct sockaddr_in name = to(address, port);
  return result(sendto(s, data, length, 0, (struct sockaddr *)&name, sizeof name));
}

static int do_connect(int s, const char *address, int port) {
  struct sockaddr_in name = to(address, port);
  return result(connect(s, (struct sockaddr *)&name, sizeof name));
}

static int do_bind(int s, const char *address, int port) {
  struct sockaddr_in name = to(address, port);
  return result(bind(s, (struct sockaddr *)&name, sizeof name));
}

static unsigned sum(const unsigned char *bytes, int length) {
  unsigned total = 0;
  for (int i = 0; i < length; i += 2) total += bytes[i] << 8 | (i + 1 < length ? bytes[i + 1] : 0);
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}

static void arrive(int protocol, const unsigned char *body, int length) {
  unsigned char bytes[2000] = {0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2};
  bytes[2] = (20 + length) >> 8;
  bytes[3] = 20 + length;
  unsigned check = sum(bytes, 20);
  bytes[10] = check >> 8;
  bytes[11] = check;
  memcpy(bytes + 20, body, length);
  if (write(tun, bytes, 20 + length) < 0) perror("write");
  usleep(5000);
}

/* An ICMP error about what take() has given last. */
static void fail(int type, int code, int mtu) {
  unsigned char body[36] = {type, code, 0, 0, 0, 0, mtu >> 8, mtu};
  memcpy(body + 8, packet, 28);
  unsigned check = sum(body, 36);
  body[2] = check >> 8;
  body[3] = check;
  arrive(1, body, 36);
}

static void datagram(int sport, int dport) {
  unsigned char body[9] = {sport >> 8, sport, dport >> 8, dport, 0, 9, 0, 0, 'x'};
  arrive(17, body, 9);
}

static const char *modes[] = {"dont", "want", "do", "probe", "interface", "omit"};

static void path_mtu(const char *when) {
  static const int sizes[] = {500, 1000, 2000};
  for (int mode = 0; mode < 6; mode++) {
    for (int i = 0; i < 3; i++) {
      int s = udp();
      set(s, IPPROTO_IP, MTU_DISCOVER_OPTION, mode);
      printf("mtu %s %s %d: %d", when, modes[mode], sizes[i], send_to(s, sizes[i], "10.9.0.1", 9));
      while (take()) printf(packet[6] & 0x40 ? " DF" : " -");
      printf("\n");
      close(s);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  tun = open("/dev/net/tun", O_RDWR);
  if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) return perror(argv[1]), 1;
  while (take()) {}

  path_mtu("before");
  int s = udp();
  set(s, IPPROTO_IP, MTU_DISCOVER_OPTION, 1);
  send_to(s, 1000, "10.9.0.1", 9);
  take();
  fail(3, 4, 600);
  path_mtu("after");

  static const int errors[][2] = {{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 5}, {3, 6}, {3, 7}, {3, 9}, {3, 10}, {3, 11},
                                  {3, 13}, {3, 14}, {3, 15}, {4, 0}, {11, 0}, {12, 0}};
  for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
    for (int extended = 0; extended < 2; extended++) {
      s = udp();
      if (extended) set(s, IPPROTO_IP, IP_RECVERR, 1);
      do_connect(s, "10.9.0.1", 9);
      send(s, data, 1, 0);
      take();
      fail(errors[i][0], errors[i][1], 0);
      printf("error %d %d %s: %d\n", errors[i][0], errors[i][1], extended ? "all" : "hard", result(send(s, data, 1, 0)));
      take();
      close(s);
    }
  }

  static const char *addresses[] = {"224.5.5.5", "10.9.0.255", "255.255.255.255", "10.0.3.77", "192.0.2.1",
                                    "127.0.0.5", "10.9.0.77",  "0.0.0.1",         "10.9.0.2",  "0.0.0.0"};
  for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    s = udp();
    int bound = do_bind(s, addresses[i], 0);
    printf("bind %s: %d", addresses[i], bound);
    if (bound == 0 && strncmp(addresses[i], "127", 3) != 0) {
      printf(" %d", send_to(s, 1, "10.9.0.1", 9));
      if (take()) printf(" from %d.%d.%d.%d", packet[12], packet[13], packet[14], packet[15]);
    }
    printf("\n");
    close(s);
  }

  static const int segments[][2] = {{300, 1000}, {300, 300}, {300, 299}, {1472, 3000}, {1473, 3000}, {10, 1280}, {10, 1281}};
  for (unsigned i = 0; i < sizeof segments / sizeof *segments; i++) {
    s = udp();
    set(s, IPPROTO_UDP, UDP_SEGMENT_OPTION, segments[i][0]);
    set(s, IPPROTO_IP, MTU_DISCOVER_OPTION, 3); /* the path has been cut above */
    printf("segments %d %d: %d", segments[i][0], segments[i][1], send_to(s, segments[i][1], "10.9.0.1", 9));
    for (int length; (length = take());) printf(" %d", length - 28);
    printf("\n");
    close(s);
  }

  s = udp();
  printf("calls: %d", result(send(s, data, 1, 0)));
  printf(" %d", send_to(s, 1, "10.9.0.1", 0));
  printf(" %d", send_to(s, 65508, "10.9.0.1", 9));
  printf(" %d", send_to(s, 1, "10.9.0.255", 9));
  printf(" %d", do_connect(s, "10.9.0.255", 9));
  printf(" %d\n", do_connect(s, "10.9.0.1", 0));
  while (take()) {}

  int a = udp(), b = udp(), c = udp();
  set(a, SOL_SOCKET, SO_REUSEADDR, 1);
  set(b, SOL_SOCKET, SO_REUSEADDR, 1);
  do_bind(a, "0.0.0.0", 6000);
  do_bind(b, "0.0.0.0", 6000);
  datagram(5000, 6000);
  printf("shared: %d %d", result(recv(a, data, 9, 0)), result(recv(b, data, 9, 0)));
  printf(" third %d\n", do_bind(c, "0.0.0.0", 6000));
  do_connect(a, "10.9.0.1", 5000);
  datagram(5000, 6000);
  printf("peer: %d %d", result(recv(a, data, 9, 0)), result(recv(b, data, 9, 0)));
  do_connect(b, "10.9.0.1", 5000);
  datagram(5000, 6000);
  printf(" both %d %d", result(recv(a, data, 9, 0)), result(recv(b, data, 9, 0)));
  close(b);
  datagram(5000, 6000);
  printf(" again %d\n", result(recv(a, data, 9, 0)));
  return 0;
}

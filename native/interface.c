#include "interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { KIND_NONE, KIND_INDEX, KIND_FLAGS, KIND_MTU, KIND_QUEUE, KIND_ADDRESS, KIND_TUN, KIND_ROUTE, KIND_LOOPBACK };

static const struct {
  unsigned long get;
  unsigned long set;
  enum kind kind;
} properties[] = {
    [PROPERTY_INDEX] = {SIOCGIFINDEX, 0, KIND_INDEX},
    [PROPERTY_FLAGS] = {SIOCGIFFLAGS, SIOCSIFFLAGS, KIND_FLAGS},
    [PROPERTY_MTU] = {SIOCGIFMTU, SIOCSIFMTU, KIND_MTU},
    [PROPERTY_ADDRESS] = {SIOCGIFADDR, SIOCSIFADDR, KIND_ADDRESS},
    [PROPERTY_NETMASK] = {SIOCGIFNETMASK, SIOCSIFNETMASK, KIND_ADDRESS},
    [PROPERTY_PEER] = {SIOCGIFDSTADDR, SIOCSIFDSTADDR, KIND_ADDRESS},
    [PROPERTY_TX_QUEUE] = {SIOCGIFTXQLEN, SIOCSIFTXQLEN, KIND_QUEUE},
    [PROPERTY_PERSIST] = {0, TUNSETPERSIST, KIND_TUN},
    [PROPERTY_OWNER] = {0, TUNSETOWNER, KIND_TUN},
    [PROPERTY_GROUP] = {0, TUNSETGROUP, KIND_TUN},
    [PROPERTY_OFFLOAD] = {0, TUNSETOFFLOAD, KIND_TUN},
    [PROPERTY_ROUTE] = {0, SIOCADDRT, KIND_ROUTE},
    [PROPERTY_LOOPBACK] = {0, SIOCSIFFLAGS, KIND_LOOPBACK},
};

static int known(int property) {
  return property >= 0 && (size_t)property < sizeof properties / sizeof properties[0];
}

int interface_name(int tun_fd, char name[IFNAMSIZ]) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(tun_fd, TUNGETIFF, &request) < 0) return -errno;
  memcpy(name, request.ifr_name, IFNAMSIZ);
  name[IFNAMSIZ - 1] = 0;
  return 0;
}

/* ifr_addr, ifr_netmask and ifr_dstaddr are one and the same place. */
static struct sockaddr_in *address_of(struct ifreq *request) { return (struct sockaddr_in *)&request->ifr_addr; }

int64_t interface_get(int tun_fd, int config_fd, int property) {
  if (!known(property) || properties[property].get == 0) return -EINVAL;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int failed = interface_name(tun_fd, request.ifr_name);
  if (failed < 0) return failed;
  enum kind kind = properties[property].kind;
  if (kind == KIND_ADDRESS) address_of(&request)->sin_family = AF_INET;
  if (ioctl(config_fd, properties[property].get, &request) < 0) return -errno;
  switch (kind) {
    case KIND_INDEX: return request.ifr_ifindex;
    case KIND_FLAGS: return (uint16_t)request.ifr_flags;
    case KIND_MTU: return request.ifr_mtu;
    case KIND_QUEUE: return request.ifr_qlen;
    case KIND_ADDRESS: return ntohl(address_of(&request)->sin_addr.s_addr);
    default: return -EINVAL;
  }
}

static int add_default_route(int config_fd, char *name, uint32_t gateway) {
  struct rtentry route;
  memset(&route, 0, sizeof route);
  struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_gateway;
  route.rt_dst.sa_family = route.rt_genmask.sa_family = to->sin_family = AF_INET;
  to->sin_addr.s_addr = htonl(gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  route.rt_dev = name;
  return ioctl(config_fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}

static int bring_loopback_up(int config_fd) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  if (ioctl(config_fd, SIOCGIFFLAGS, &request) < 0) return -errno;
  if (request.ifr_flags & IFF_UP) return 0;
  request.ifr_flags |= IFF_UP;
  return ioctl(config_fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int interface_set(int tun_fd, int config_fd, int property, uint32_t value) {
  if (!known(property) || properties[property].set == 0) return -EINVAL;
  enum kind kind = properties[property].kind;
  if (kind == KIND_TUN) return ioctl(tun_fd, properties[property].set, (unsigned long)value) < 0 ? -errno : 0;
  if (kind == KIND_LOOPBACK) return bring_loopback_up(config_fd);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  int failed = interface_name(tun_fd, request.ifr_name);
  if (failed < 0) return failed;
  switch (kind) {
    case KIND_ROUTE: return add_default_route(config_fd, request.ifr_name, value);
    case KIND_FLAGS: request.ifr_flags = (short)value; break;
    case KIND_MTU: request.ifr_mtu = (int)value; break;
    case KIND_QUEUE: request.ifr_qlen = (int)value; break;
    case KIND_ADDRESS:
      address_of(&request)->sin_family = AF_INET;
      address_of(&request)->sin_addr.s_addr = htonl(value);
      break;
    default: return -EINVAL;
  }
  return ioctl(config_fd, properties[property].set, &request) < 0 ? -errno : 0;
}

int interface_index(const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (strlen(name) >= IFNAMSIZ) return -ENODEV;
  strcpy(request.ifr_name, name);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int result = ioctl(fd, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
  close(fd);
  return result;
}

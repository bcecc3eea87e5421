/*
 * The kernel's side of the link: its name, addresses, MTU, flags and queue, through ioctls. Everything here
 * returns a non-negative value, or the negative errno.
 */
#ifndef TUNSTACK_INTERFACE_H
#define TUNSTACK_INTERFACE_H

#include <net/if.h>
#include <stdint.h>

/* What can be read and set; the numbers are part of the interface to JavaScript (driver.ts). */
enum {
  PROPERTY_INDEX = 0,      /* read only */
  PROPERTY_FLAGS = 1,      /* IFF_* */
  PROPERTY_MTU = 2,
  PROPERTY_ADDRESS = 3,    /* IPv4, host byte order */
  PROPERTY_NETMASK = 4,
  PROPERTY_PEER = 5,
  PROPERTY_TX_QUEUE = 6,   /* packets */
  PROPERTY_PERSIST = 7,    /* write only, as are the next two */
  PROPERTY_OWNER = 8,
  PROPERTY_GROUP = 9,
  PROPERTY_OFFLOAD = 10,   /* write only: TUN_F_* */
  PROPERTY_ROUTE = 11,     /* write only: the gateway of a default route over it */
  PROPERTY_LOOPBACK = 12,  /* write only: brings `lo` of its namespace up */
};

/* The interface's present name: it may have been renamed since it was opened. */
int interface_name(int tun_fd, char name[IFNAMSIZ]);

int64_t interface_get(int tun_fd, int config_fd, int property);
int interface_set(int tun_fd, int config_fd, int property, uint32_t value);

/* Index of an interface in the present network namespace; -ENODEV if there is none. */
int interface_index(const char *name);

#endif

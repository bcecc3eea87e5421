/*
 * One open TUN device: its descriptor, the uv_poll handle that watches it, and the batch reads and writes.
 * Life: device_open, then any number of device_start/resume/pause/write, then device_close, at once and safe
 * inside the receive callback. The memory goes when both libuv and JavaScript have let go of it.
 */
#ifndef TUNSTACK_DEVICE_H
#define TUNSTACK_DEVICE_H

#include <net/if.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "uv_subset.h"

typedef struct {
  napi_env env;
  ArenaTable *arenas;
  uv_poll_t *poll;
  int fd;
  /* An AF_INET socket of the network namespace that the device was opened in, for the interface's ioctls. */
  int config_fd;
  /* Runs while busy polling; NULL unless it was asked for. */
  uv_idle_t *idle;
  /* How long to look for a packet after the last one, and until when that is now. Nanoseconds. */
  uint64_t busy_time;
  uint64_t busy_until;
  /* Each packet has a virtio_net_hdr before it. */
  bool vnet_header;
  /*
   * The arrays of the ReceiveRing, as they lay when reading began. They are held below, so that the memory stays, and
   * are the driver's own: nobody transfers them. (Packet memory is looked up for each batch: programs see it.)
   */
  uint32_t *pieces;
  uint32_t n_pieces;
  uint8_t *headers_at;
  const uint32_t *spill_at;
  uint32_t n_spill;
  /* System calls so far. */
  uint64_t read_calls;
  uint64_t write_calls;
  bool reading;
  bool closing;
  /* Handles that libuv still has; 0: it has let go. */
  uint32_t open_handles;
  /* JavaScript still has the handle */
  bool wrapped;
  /* The environment is going: no reference may be touched and no JavaScript called. */
  bool exiting;
  napi_ref descriptors;
  napi_ref headers;
  napi_ref spill;
  napi_ref callback;
  napi_async_cleanup_hook_handle cleanup;
} Device;

typedef struct {
  const char *path;
  /* The network namespace to open it in; NULL: the present one. */
  const char *namespace;
  /* Wanted name, empty if the kernel is to choose; the name it got on return. */
  char name[IFNAMSIZ];
  bool vnet_header;
  /* The call that failed. */
  const char *failed;
} OpenRequest;

/* NULL and a negative errno in *error if it failed. */
Device *device_open(napi_env env, ArenaTable *arenas, OpenRequest *request, int *error);

/* The handle's finalizer: closes what is still open. */
void device_release(Device *device);

/* Bytes of the smallest virtio_net_hdr, and how far apart they lie in an array of them. */
#define VNET_HEADER_SIZE 10
#define VNET_HEADER_STRIDE 12

/* In the length of what is written: the VNET_HEADER_SIZE bytes before it are nobody's. */
#define ROOM_BEFORE 0x80000000u

/* Where packets are read to. NULL (or JavaScript's null): there is no such array. */
typedef struct {
  /* Uint32Array of (arena, offset, length), a packet each; length 0: no piece here. */
  napi_value descriptors;
  /* Uint8Array, VNET_HEADER_STRIDE bytes per piece. */
  napi_value headers;
  /* Uint32Array of large pieces, for packets that do not fit theirs; see read_batch in device.c. */
  napi_value spill;
  uint32_t max_batch;
  uint32_t busy_microseconds;
  napi_value callback;
} ReceiveRing;

int device_start(Device *device, const ReceiveRing *ring);
int device_resume(Device *device);
int device_pause(Device *device);
void device_close(Device *device);

/* Throws away up to `limit` packets that wait; how many, or a negative errno. */
int device_discard(Device *device, uint32_t limit);

/* What is to be written: per packet a piece, a virtio_net_hdr if the device has them, and perhaps a body. */
typedef struct {
  /* The length may have ROOM_BEFORE. */
  const uint32_t *descriptors;
  /* VNET_HEADER_STRIDE bytes each; NULL: all of them are zero. */
  const uint8_t *headers;
  /* JavaScript's array of Uint8Array or null; NULL: no packet has a body. */
  napi_value bodies;
  uint32_t n;
} SendBatch;

/* Writes in order, going on after a refused one; status[i] is its bytes or negative errno. How many went. */
uint32_t device_write(Device *device, ArenaView *view, const SendBatch *batch, int32_t *status);

#endif

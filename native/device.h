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
  /* Bytes of virtio_net_hdr before each packet; 0 without IFF_VNET_HDR. Pieces include it, both ways. */
  uint32_t vnet_header_size;
  uint32_t max_batch;
  bool reading;
  bool closing;
  /* libuv has let go */
  bool closed;
  /* JavaScript still has the handle */
  bool wrapped;
  /* The environment is going: no reference may be touched and no JavaScript called. */
  bool exiting;
  napi_ref descriptors;
  napi_ref callback;
  napi_async_cleanup_hook_handle cleanup;
} Device;

typedef struct {
  const char *path;
  /* Wanted name, empty if the kernel is to choose; the name it got on return. */
  char name[IFNAMSIZ];
  uint32_t vnet_header_size;
  uint32_t offload;
  /* The call that failed. */
  const char *failed;
} OpenRequest;

/* NULL and a negative errno in *error if it failed. */
Device *device_open(napi_env env, ArenaTable *arenas, OpenRequest *request, int *error);

/* The handle's finalizer: closes what is still open. */
void device_release(Device *device);

/* Reads into the pieces of `descriptors` (Uint32Array of arena, offset, length; length 0: no piece here). */
int device_start(Device *device, napi_value descriptors, uint32_t max_batch, napi_value callback);
int device_resume(Device *device);
int device_pause(Device *device);
void device_close(Device *device);

/* Throws away up to `limit` packets that wait; how many, or a negative errno. */
int device_discard(Device *device, uint32_t limit);

/*
 * Writes n packets in order, going on after one that is refused; status[i] is its bytes or negative errno.
 * How many were taken.
 */
uint32_t device_write(Device *device, ArenaView *view, const uint32_t *descriptors, uint32_t n, int32_t *status);

/* Writes one packet whose payload lies elsewhere. Its bytes, or a negative errno. */
int device_write_body(Device *device, const uint8_t *head, uint32_t head_length, const uint8_t *body,
                      size_t body_length);

#endif

#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "interface.h"
#include "namespace.h"

static void on_poll(uv_poll_t *poll, int status, int events);

static uv_handle_t *handle_of(Device *device) { return (uv_handle_t *)device->poll; }

static void forget(napi_env env, napi_ref *reference) {
  if (*reference != NULL) napi_delete_reference(env, *reference);
  *reference = NULL;
}

/* ---- opening ---- */

static int open_tun(OpenRequest *request) {
  request->failed = "open";
  int fd = open(request->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct ifreq interface;
  memset(&interface, 0, sizeof interface);
  /* IFF_NO_PI: without it every packet has four more bytes in front. */
  interface.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (request->vnet_header) interface.ifr_flags |= IFF_VNET_HDR;
  memcpy(interface.ifr_name, request->name, IFNAMSIZ);
  request->failed = "TUNSETIFF";
  if (ioctl(fd, TUNSETIFF, &interface) < 0) goto failed;
  memcpy(request->name, interface.ifr_name, IFNAMSIZ);
  request->name[IFNAMSIZ - 1] = 0;
  if (request->vnet_header) {
    /* A persistent interface keeps what its last user set. */
    int size = VNET_HEADER_SIZE;
    request->failed = "TUNSETVNETHDRSZ";
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) goto failed;
  }
  return fd;
failed:;
  int error = errno;
  close(fd);
  return -error;
}

/* Where the device is: its descriptor and one for its ioctls, or a negative errno in fd. */
typedef struct {
  OpenRequest request;
  int fd;
  int config_fd;
} Descriptors;

static void open_descriptors(void *shared) {
  Descriptors *opened = shared;
  opened->fd = open_tun(&opened->request);
  if (opened->fd < 0) return;
  opened->request.failed = "socket";
  opened->config_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (opened->config_fd >= 0) return;
  int error = errno;
  close(opened->fd);
  opened->fd = -error;
}

static void on_environment_exit(napi_async_cleanup_hook_handle cleanup, void *data) {
  (void)cleanup;
  Device *device = data;
  device->exiting = true;
  device_close(device);
}

Device *device_open(napi_env env, ArenaTable *arenas, OpenRequest *request, int *error) {
  Device *device = calloc(1, sizeof *device);
  uv_poll_t *poll = calloc(1, uv_handle_size(UV_POLL));
  struct uv_loop_s *loop = NULL;
  int fd = -1;
  int config_fd = -1;
  request->failed = "uv_poll_init";
  *error = -ENOMEM;
  if (device == NULL || poll == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) goto failed;
  Descriptors opened = {.request = *request, .fd = -1, .config_fd = -1};
  if (request->namespace == NULL) open_descriptors(&opened);
  else if ((*error = in_namespace(request->namespace, open_descriptors, &opened, sizeof opened, &request->failed)) < 0)
    goto failed;
  *request = opened.request;
  *error = opened.fd;
  if (opened.fd < 0) goto failed;
  fd = opened.fd;
  config_fd = opened.config_fd;
  request->failed = "uv_poll_init";
  if ((*error = uv_poll_init(loop, poll, fd)) < 0) goto failed;
  device->env = env;
  device->arenas = arenas;
  device->poll = poll;
  device->fd = fd;
  device->config_fd = config_fd;
  device->vnet_header = request->vnet_header;
  device->open_handles = 1;
  device->wrapped = true;
  uv_handle_set_data(handle_of(device), device);
  napi_add_async_cleanup_hook(env, on_environment_exit, device, &device->cleanup);
  device_pause(device);
  return device;
failed:
  if (fd >= 0) close(fd);
  if (config_fd >= 0) close(config_fd);
  free(poll);
  free(device);
  return NULL;
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle) {
  Device *device = uv_handle_get_data(handle);
  if (--device->open_handles > 0) return;
  if (!device->exiting) {
    forget(device->env, &device->callback);
    forget(device->env, &device->descriptors);
    forget(device->env, &device->headers);
    forget(device->env, &device->spill);
  }
  if (device->cleanup != NULL) napi_remove_async_cleanup_hook(device->cleanup);
  free(device->idle);
  free(device->poll);
  device->idle = NULL;
  device->poll = NULL;
  if (!device->wrapped) free(device);
}

/* A persistent interface would go on giving super-segments to whoever opens it next, asked for or not. */
static void reset_offload(Device *device) {
  struct ifreq interface;
  memset(&interface, 0, sizeof interface);
  if (device->vnet_header && ioctl(device->fd, TUNGETIFF, &interface) == 0 && (interface.ifr_flags & IFF_PERSIST))
    ioctl(device->fd, TUNSETOFFLOAD, 0UL);
}

void device_close(Device *device) {
  if (device->closing) return;
  device->closing = true;
  reset_offload(device);
  uv_poll_stop(device->poll);
  uv_close(handle_of(device), on_closed);
  if (device->idle != NULL) {
    uv_idle_stop(device->idle);
    uv_close((uv_handle_t *)device->idle, on_closed);
  }
  /* After uv_close: libuv still had to take it out of its epoll set. The interface vanishes here. */
  close(device->fd);
  close(device->config_fd);
  device->fd = device->config_fd = -1;
}

void device_release(Device *device) {
  device->wrapped = false;
  if (device->open_handles == 0) free(device);
  else device_close(device);
}

/* ---- receiving ---- */

static int keep(napi_env env, napi_value array, napi_ref *reference) {
  napi_valuetype type;
  forget(env, reference);
  if (napi_typeof(env, array, &type) != napi_ok || type == napi_null) return 0;
  return napi_create_reference(env, array, 1, reference) == napi_ok ? 0 : -ENOMEM;
}

static int prepare_busy_poll(Device *device, uint32_t microseconds) {
  struct uv_loop_s *loop = NULL;
  device->busy_time = (uint64_t)microseconds * 1000;
  if (microseconds == 0 || device->idle != NULL) return 0;
  device->idle = calloc(1, uv_handle_size(UV_IDLE));
  if (device->idle == NULL || napi_get_uv_event_loop(device->env, &loop) != napi_ok) return -ENOMEM;
  uv_idle_init(loop, device->idle);
  uv_handle_set_data((uv_handle_t *)device->idle, device);
  /* Whether the device keeps the event loop alive is said by its uv_poll. */
  uv_unref((uv_handle_t *)device->idle);
  device->open_handles++;
  return 0;
}

/* Address and elements of a typed array; NULL if there is none or it was detached. */
static void *array_of(napi_env env, napi_value array, size_t *length) {
  napi_valuetype type;
  void *data = NULL;
  *length = 0;
  if (napi_typeof(env, array, &type) != napi_ok || type == napi_null) return NULL;
  if (napi_get_typedarray_info(env, array, NULL, length, &data, NULL, NULL) != napi_ok || *length == 0) return NULL;
  return data;
}

int device_start(Device *device, const ReceiveRing *ring) {
  napi_env env = device->env;
  if (keep(env, ring->callback, &device->callback) < 0 || keep(env, ring->descriptors, &device->descriptors) < 0 ||
      keep(env, ring->headers, &device->headers) < 0 || keep(env, ring->spill, &device->spill) < 0 ||
      prepare_busy_poll(device, ring->busy_microseconds) < 0)
    return -ENOMEM;
  size_t length;
  device->pieces = array_of(env, ring->descriptors, &length);
  device->n_pieces = (uint32_t)(length / 3);
  if (device->n_pieces > ring->max_batch) device->n_pieces = ring->max_batch;
  device->headers_at = device->vnet_header ? array_of(env, ring->headers, &length) : NULL;
  if (device->vnet_header && length / VNET_HEADER_STRIDE < device->n_pieces)
    device->n_pieces = (uint32_t)(length / VNET_HEADER_STRIDE);
  device->spill_at = array_of(env, ring->spill, &length);
  device->n_spill = (uint32_t)(length / 3);
  return device_resume(device);
}

int device_resume(Device *device) {
  if (device->callback == NULL) return -EINVAL;
  device->reading = true;
  return uv_poll_start(device->poll, UV_READABLE | UV_DISCONNECT, on_poll);
}

/* Still polls for the interface's end, so that it is noticed and the event loop stays alive. */
int device_pause(Device *device) {
  device->reading = false;
  if (device->idle != NULL) uv_idle_stop(device->idle);
  return uv_poll_start(device->poll, UV_DISCONNECT, on_poll);
}

int device_discard(Device *device, uint32_t limit) {
  uint8_t scratch[64];
  for (uint32_t n = 0; n < limit; n++) {
    device->read_calls++;
    ssize_t got = read(device->fd, scratch, sizeof scratch);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? (int)n : -errno;
  }
  return (int)limit;
}

/*
 * Fills pieces in order; packets read. *error is positive if something other than "no more" ended it.
 * Each packet is read into the next large piece of the ring, together with its header, which lies in front: one
 * read() of one piece of memory, which costs less than a readv() of several. What fits a small piece is copied there,
 * from a cache that it has just been put in, and the large one serves the next packet too; it is taken only by a packet
 * that needs it. With no large piece left the batch ends; if there was none to begin with, packets are read into
 * their small pieces, and one that is too long is cut.
 */
static uint32_t read_batch(Device *device, int *error) {
  ArenaView view;
  arena_view_init(&view, device->env, device->arenas);
  uint32_t header = device->headers_at != NULL ? VNET_HEADER_SIZE : 0;
  uint32_t n = 0;
  uint32_t spilt = 0;
  uint32_t spills = 0;
  while (spills < device->n_spill && device->spill_at[3 * spills + 2] > 0) spills++;
  while (n < device->n_pieces) {
    uint32_t *piece = device->pieces + 3 * n;
    uint32_t room = piece[2];
    if (room == 0 || (spills > 0 && spilt == spills)) break;
    const uint32_t *target = piece;
    if (spills > 0 && device->spill_at[3 * spilt + 2] > room) target = device->spill_at + 3 * spilt;
    uint8_t *small = arena_piece(&view, piece[0], piece[1], room);
    /* An offset that leaves no room for the header wraps round, and is outside of every arena. */
    uint8_t *at = arena_piece(&view, target[0], target[1] - header, target[2] + header);
    if (at == NULL || small == NULL) {
      *error = EFAULT;
      break;
    }
    device->read_calls++;
    ssize_t got = read(device->fd, at, target[2] + header);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) *error = errno;
      break;
    }
    if (header > 0) memcpy(device->headers_at + VNET_HEADER_STRIDE * n, at, header);
    uint32_t length = (uint32_t)got - header;
    if (length > room) spilt++;
    else if (target != piece) memcpy(small, at + header, length);
    piece[2] = length;
    n++;
  }
  return n;
}

static void call_back(Device *device, uint32_t n, int error) {
  uint64_t now = uv_hrtime();
  napi_env env = device->env;
  napi_value function, receiver, result, arguments[4];
  if (napi_get_reference_value(env, device->callback, &function) != napi_ok || function == NULL) return;
  if (napi_get_global(env, &receiver) != napi_ok) return;
  napi_create_uint32(env, n, &arguments[0]);
  napi_create_int32(env, error, &arguments[1]);
  /* In two numbers, since both are small integers to V8, and a double would be an object. */
  napi_create_uint32(env, (uint32_t)(now / 1000000000), &arguments[2]);
  napi_create_uint32(env, (uint32_t)(now % 1000000000), &arguments[3]);
  if (napi_make_callback(env, NULL, receiver, function, 4, arguments, &result) == napi_pending_exception) {
    napi_value exception;
    if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
  }
}

static void on_idle(uv_idle_t *idle);

/* From here on and for a while the device is looked at in each turn of the event loop, which does not sleep. */
static void keep_busy(Device *device) {
  if (device->busy_time == 0 || !device->reading) return;
  device->busy_until = uv_hrtime() + device->busy_time;
  uv_idle_start(device->idle, on_idle);
}

/* One batch and one call, then back to the loop: timers and other devices get their turn. */
static uint32_t receive(Device *device, int status) {
  napi_env env = device->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return 0;
  uint32_t n = 0;
  int error = 0;
  if (status < 0) {
    /* libuv has stopped polling. Its EBADF stands for POLLERR; the driver says what is really the matter. */
    char name[IFNAMSIZ];
    device->reading = false;
    if (device->idle != NULL) uv_idle_stop(device->idle);
    error = interface_name(device->fd, name);
    error = error < 0 ? -error : -status;
  } else if (device->reading) {
    n = read_batch(device, &error);
  }
  if ((n > 0 || error != 0) && device->callback != NULL) call_back(device, n, error);
  if (!device->closing && device->reading) {
    /* Nowhere to read to: JavaScript resumes when it has memory again. */
    if (device->n_pieces == 0 || device->pieces[2] == 0) device_pause(device);
    else if (n > 0) keep_busy(device);
  }
  napi_close_handle_scope(env, scope);
  return n;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)events;
  Device *device = uv_handle_get_data((uv_handle_t *)poll);
  if (!device->closing) receive(device, status);
}

/* How long one turn of the event loop may look for a packet. */
#define BUSY_SLICE 20000

static void on_idle(uv_idle_t *idle) {
  Device *device = uv_handle_get_data((uv_handle_t *)idle);
  struct pollfd watched = {device->fd, POLLIN, 0};
  uint64_t now = uv_hrtime();
  uint64_t end = now + BUSY_SLICE;
  while (now < end && now < device->busy_until) {
    if (device->closing || !device->reading) return;
    device->read_calls++;
    if (poll(&watched, 1, 0) != 0) {
      receive(device, 0);
      return;
    }
    now = uv_hrtime();
  }
  if (now >= device->busy_until) uv_idle_stop(idle);
}

/* ---- sending ---- */

static void find_body(napi_env env, napi_value bodies, uint32_t i, struct iovec *part) {
  napi_value body;
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  part->iov_base = NULL;
  part->iov_len = 0;
  if (napi_get_element(env, bodies, i, &body) != napi_ok) return;
  if (napi_get_typedarray_info(env, body, &type, &length, &data, NULL, NULL) != napi_ok) return;
  if (type != napi_uint8_array) return;
  part->iov_base = data;
  part->iov_len = length;
}

uint32_t device_write(Device *device, ArenaView *view, const SendBatch *batch, int32_t *status) {
  static uint8_t no_header[VNET_HEADER_SIZE];
  uint32_t taken = 0;
  for (uint32_t i = 0; i < batch->n; i++) {
    const uint32_t *piece = batch->descriptors + 3 * i;
    uint32_t length = piece[2] & ~ROOM_BEFORE;
    bool in_front = length != piece[2] && piece[1] >= VNET_HEADER_SIZE;
    uint8_t *at = arena_piece(view, piece[0], piece[1], length);
    if (at == NULL) {
      status[i] = -EFAULT;
      continue;
    }
    struct iovec parts[3];
    int count = 0;
    if (device->vnet_header) {
      const uint8_t *header = batch->headers == NULL ? no_header : batch->headers + VNET_HEADER_STRIDE * i;
      if (in_front) {
        /* One piece of memory is written for less than two are. */
        at -= VNET_HEADER_SIZE;
        length += VNET_HEADER_SIZE;
        memcpy(at, header, VNET_HEADER_SIZE);
      } else {
        parts[count].iov_base = (void *)(uintptr_t)header;
        parts[count++].iov_len = VNET_HEADER_SIZE;
      }
    }
    parts[count].iov_base = at;
    parts[count++].iov_len = length;
    if (batch->bodies != NULL) {
      find_body(device->env, batch->bodies, i, &parts[count]);
      if (parts[count].iov_len > 0) count++;
    }
    ssize_t put;
    do {
      device->write_calls++;
      put = count == 1 ? write(device->fd, at, length) : writev(device->fd, parts, count);
    } while (put < 0 && errno == EINTR);
    if (put <= 0) {
      /* writev() takes nothing at all for done, without asking the driver. */
      status[i] = put < 0 ? -errno : -EINVAL;
      continue;
    }
    status[i] = (int32_t)put - (device->vnet_header ? VNET_HEADER_SIZE : 0);
    taken++;
  }
  keep_busy(device);
  return taken;
}

#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "interface.h"

static void on_poll(uv_poll_t *poll, int status, int events);

static uv_handle_t *handle_of(Device *device) { return (uv_handle_t *)device->poll; }

/* ---- opening ---- */

static int open_tun(OpenRequest *request) {
  request->failed = "open";
  int fd = open(request->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct ifreq interface;
  memset(&interface, 0, sizeof interface);
  /* IFF_NO_PI: without it every packet has four more bytes in front. */
  interface.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (request->vnet_header_size > 0) interface.ifr_flags |= IFF_VNET_HDR;
  memcpy(interface.ifr_name, request->name, IFNAMSIZ);
  request->failed = "TUNSETIFF";
  if (ioctl(fd, TUNSETIFF, &interface) < 0) goto failed;
  memcpy(request->name, interface.ifr_name, IFNAMSIZ);
  request->name[IFNAMSIZ - 1] = 0;
  if (request->vnet_header_size > 0) {
    int size = (int)request->vnet_header_size;
    request->failed = "TUNSETVNETHDRSZ";
    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) goto failed;
    request->failed = "TUNSETOFFLOAD";
    if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)request->offload) < 0) goto failed;
  }
  return fd;
failed:;
  int error = errno;
  close(fd);
  return -error;
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
  *error = fd = open_tun(request);
  if (fd < 0) goto failed;
  request->failed = "socket";
  config_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (config_fd < 0) {
    *error = -errno;
    goto failed;
  }
  request->failed = "uv_poll_init";
  if ((*error = uv_poll_init(loop, poll, fd)) < 0) goto failed;
  device->env = env;
  device->arenas = arenas;
  device->poll = poll;
  device->fd = fd;
  device->config_fd = config_fd;
  device->vnet_header_size = request->vnet_header_size;
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
  device->closed = true;
  if (!device->exiting) {
    if (device->callback != NULL) napi_delete_reference(device->env, device->callback);
    if (device->descriptors != NULL) napi_delete_reference(device->env, device->descriptors);
  }
  if (device->cleanup != NULL) napi_remove_async_cleanup_hook(device->cleanup);
  free(device->poll);
  device->poll = NULL;
  if (!device->wrapped) free(device);
}

void device_close(Device *device) {
  if (device->closing) return;
  device->closing = true;
  uv_poll_stop(device->poll);
  uv_close(handle_of(device), on_closed);
  /* After uv_close: libuv still had to take it out of its epoll set. The interface vanishes here. */
  close(device->fd);
  close(device->config_fd);
  device->fd = device->config_fd = -1;
}

void device_release(Device *device) {
  device->wrapped = false;
  if (device->closed) free(device);
  else device_close(device);
}

/* ---- receiving ---- */

int device_start(Device *device, napi_value descriptors, uint32_t max_batch, napi_value callback) {
  napi_env env = device->env;
  if (device->callback != NULL) napi_delete_reference(env, device->callback);
  if (device->descriptors != NULL) napi_delete_reference(env, device->descriptors);
  device->callback = device->descriptors = NULL;
  if (napi_create_reference(env, callback, 1, &device->callback) != napi_ok) return -ENOMEM;
  if (napi_create_reference(env, descriptors, 1, &device->descriptors) != napi_ok) return -ENOMEM;
  device->max_batch = max_batch;
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
  return uv_poll_start(device->poll, UV_DISCONNECT, on_poll);
}

int device_discard(Device *device, uint32_t limit) {
  uint8_t scratch[64];
  for (uint32_t n = 0; n < limit; n++) {
    ssize_t got = read(device->fd, scratch, sizeof scratch);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? (int)n : -errno;
  }
  return (int)limit;
}

/* Fills pieces in order; packets read. *error is positive if something other than "no more" ended it. */
static uint32_t read_batch(Device *device, uint32_t *descriptors, uint32_t pieces, int *error) {
  ArenaView view;
  arena_view_init(&view, device->env, device->arenas);
  uint32_t n = 0;
  while (n < pieces) {
    uint32_t *piece = descriptors + 3 * n;
    if (piece[2] == 0) break;
    uint8_t *at = arena_piece(&view, piece[0], piece[1], piece[2]);
    if (at == NULL) {
      *error = EFAULT;
      break;
    }
    ssize_t got = read(device->fd, at, piece[2]);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) *error = errno;
      break;
    }
    piece[2] = (uint32_t)got;
    n++;
  }
  return n;
}

static void call_back(Device *device, uint32_t n, int error) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  napi_env env = device->env;
  napi_value function, receiver, result, arguments[4];
  if (napi_get_reference_value(env, device->callback, &function) != napi_ok || function == NULL) return;
  if (napi_get_global(env, &receiver) != napi_ok) return;
  napi_create_uint32(env, n, &arguments[0]);
  napi_create_int32(env, error, &arguments[1]);
  /* In two numbers, since both are small integers to V8, and a double would be an object. */
  napi_create_uint32(env, (uint32_t)now.tv_sec, &arguments[2]);
  napi_create_uint32(env, (uint32_t)now.tv_nsec, &arguments[3]);
  if (napi_make_callback(env, NULL, receiver, function, 4, arguments, &result) == napi_pending_exception) {
    napi_value exception;
    if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
  }
}

/* One batch and one call, then back to the loop: timers and other devices get their turn. */
static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)events;
  Device *device = uv_handle_get_data((uv_handle_t *)poll);
  if (device->closing) return;
  napi_env env = device->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;

  uint32_t *descriptors = NULL;
  uint32_t pieces = 0;
  napi_value array = NULL;
  if (device->descriptors != NULL && napi_get_reference_value(env, device->descriptors, &array) == napi_ok &&
      array != NULL) {
    size_t length = 0;
    void *data = NULL;
    napi_get_typedarray_info(env, array, NULL, &length, &data, NULL, NULL);
    descriptors = data;
    pieces = (uint32_t)(length / 3);
    if (pieces > device->max_batch) pieces = device->max_batch;
  }

  uint32_t n = 0;
  int error = 0;
  if (status < 0) {
    /* libuv has stopped polling. Its EBADF stands for POLLERR; the driver says what is really the matter. */
    char name[IFNAMSIZ];
    device->reading = false;
    error = interface_name(device->fd, name);
    error = error < 0 ? -error : -status;
  } else if (device->reading) {
    n = read_batch(device, descriptors, pieces, &error);
  }
  if ((n > 0 || error != 0) && device->callback != NULL) call_back(device, n, error);
  /* Nowhere to read to: JavaScript resumes when it has memory again. */
  if (!device->closing && device->reading && (pieces == 0 || descriptors[2] == 0)) device_pause(device);
  napi_close_handle_scope(env, scope);
}

/* ---- sending ---- */

uint32_t device_write(Device *device, ArenaView *view, const uint32_t *descriptors, uint32_t n,
                      int32_t *status) {
  uint32_t taken = 0;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t *piece = descriptors + 3 * i;
    const uint8_t *at = arena_piece(view, piece[0], piece[1], piece[2]);
    if (at == NULL) {
      status[i] = -EFAULT;
      continue;
    }
    ssize_t put;
    do put = write(device->fd, at, piece[2]);
    while (put < 0 && errno == EINTR);
    status[i] = put < 0 ? -errno : (int32_t)put;
    if (put >= 0) taken++;
  }
  return taken;
}

int device_write_body(Device *device, const uint8_t *head, uint32_t head_length, const uint8_t *body,
                      size_t body_length) {
  struct iovec parts[2] = {{(void *)(uintptr_t)head, head_length}, {(void *)(uintptr_t)body, body_length}};
  ssize_t put;
  do put = writev(device->fd, parts, 2);
  while (put < 0 && errno == EINTR);
  return put < 0 ? -errno : (int)put;
}

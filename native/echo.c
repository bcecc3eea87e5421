#include "echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uv_subset.h"

/* Messages that are read in one turn of the event loop. */
#define BATCH 32

typedef struct {
  napi_env env;
  uv_poll_t *poll;
  int fd;
  /* Called with (length, address, error, reporter): what was received lies in the buffer; error is type << 8 | code, or 0. */
  napi_ref callback;
  napi_ref buffer;
  bool closing;
  bool exiting;
  bool wrapped;
  napi_async_cleanup_hook_handle cleanup;
} Echo;

static void on_closed(uv_handle_t *handle) {
  Echo *echo = uv_handle_get_data(handle);
  if (!echo->exiting) {
    napi_delete_reference(echo->env, echo->callback);
    napi_delete_reference(echo->env, echo->buffer);
  }
  if (echo->cleanup != NULL) napi_remove_async_cleanup_hook(echo->cleanup);
  free(echo->poll);
  echo->poll = NULL;
  if (!echo->wrapped) free(echo);
}

static void close_echo(Echo *echo) {
  if (echo->closing) return;
  echo->closing = true;
  uv_poll_stop(echo->poll);
  uv_close((uv_handle_t *)echo->poll, on_closed);
  close(echo->fd);
}

static void on_environment_exit(napi_async_cleanup_hook_handle cleanup, void *data) {
  (void)cleanup;
  Echo *echo = data;
  echo->exiting = true;
  close_echo(echo);
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Echo *echo = data;
  echo->wrapped = false;
  if (echo->poll == NULL) free(echo);
  else close_echo(echo);
}

static void tell(Echo *echo, uint32_t length, uint32_t address, uint32_t error, uint32_t reporter) {
  napi_env env = echo->env;
  napi_value function, receiver, result, exception, arguments[4];
  if (napi_get_reference_value(env, echo->callback, &function) != napi_ok || function == NULL) return;
  napi_get_global(env, &receiver);
  napi_create_uint32(env, length, &arguments[0]);
  napi_create_uint32(env, address, &arguments[1]);
  napi_create_uint32(env, error, &arguments[2]);
  napi_create_uint32(env, reporter, &arguments[3]);
  if (napi_make_callback(env, NULL, receiver, function, 4, arguments, &result) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

/* One reply, or one error about a request, whose beginning is given then; false: there is none. */
static bool receive(Echo *echo, uint8_t *bytes, size_t room, int flags) {
  struct sockaddr_in from;
  struct iovec part = {bytes, room};
  union {
    char bytes[512];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
                           .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t length = recvmsg(echo->fd, &message, flags | MSG_DONTWAIT);
  if (length < 0) return false;
  uint32_t error = 0, reporter = 0;
  if (flags & MSG_ERRQUEUE) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one != NULL; one = CMSG_NXTHDR(&message, one)) {
      if (one->cmsg_level != IPPROTO_IP || one->cmsg_type != IP_RECVERR) continue;
      struct sock_extended_err *why = (struct sock_extended_err *)CMSG_DATA(one);
      if (why->ee_origin != SO_EE_ORIGIN_ICMP) continue;
      error = (uint32_t)(why->ee_type << 8 | why->ee_code);
      reporter = ntohl(((struct sockaddr_in *)SO_EE_OFFENDER(why))->sin_addr.s_addr);
    }
    if (error == 0) return true;
  }
  tell(echo, (uint32_t)length, ntohl(from.sin_addr.s_addr), error, reporter);
  return true;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  Echo *echo = uv_handle_get_data((uv_handle_t *)poll);
  napi_handle_scope scope;
  if (echo->closing || napi_open_handle_scope(echo->env, &scope) != napi_ok) return;
  napi_value buffer;
  void *bytes = NULL;
  size_t room = 0;
  if (napi_get_reference_value(echo->env, echo->buffer, &buffer) == napi_ok && buffer != NULL)
    napi_get_typedarray_info(echo->env, buffer, NULL, &room, &bytes, NULL, NULL);
  for (int n = 0; n < BATCH && !echo->closing && receive(echo, bytes, room, MSG_ERRQUEUE); n++) {}
  for (int n = 0; n < BATCH && !echo->closing; n++)
    /* An error fails one call too, before what has come: the next one gives that. */
    if (!receive(echo, bytes, room, 0) && (errno == EAGAIN || n > 1)) break;
  /* libuv stops a handle that reports an error, which is what the queue of errors does. */
  if (!echo->closing && status < 0) uv_poll_start(poll, UV_READABLE, on_poll);
  napi_close_handle_scope(echo->env, scope);
}

static napi_value integer(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

static napi_value bad_arguments(napi_env env) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "wrong arguments for a function of the TUN addon");
  return NULL;
}

/* echoOpen(buffer: Uint8Array, callback(length, address, error, reporter)) -> handle, or negative errno */
static napi_value echo_open(napi_env env, napi_callback_info info) {
  napi_value values[2], handle;
  size_t given = 2;
  napi_valuetype type;
  napi_typedarray_type kind;
  struct uv_loop_s *loop;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < 2 ||
      napi_get_typedarray_info(env, values[0], &kind, NULL, NULL, NULL, NULL) != napi_ok || kind != napi_uint8_array ||
      napi_typeof(env, values[1], &type) != napi_ok || type != napi_function ||
      napi_get_uv_event_loop(env, &loop) != napi_ok)
    return bad_arguments(env);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0) return integer(env, -errno);
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
  Echo *echo = calloc(1, sizeof *echo);
  uv_poll_t *poll = calloc(1, uv_handle_size(UV_POLL));
  int error = echo == NULL || poll == NULL ? -ENOMEM : uv_poll_init(loop, poll, fd);
  if (error < 0) {
    close(fd);
    free(echo);
    free(poll);
    return integer(env, error);
  }
  echo->env = env;
  echo->poll = poll;
  echo->fd = fd;
  echo->wrapped = true;
  uv_handle_set_data((uv_handle_t *)poll, echo);
  napi_create_reference(env, values[1], 1, &echo->callback);
  napi_create_reference(env, values[0], 1, &echo->buffer);
  napi_add_async_cleanup_hook(env, on_environment_exit, echo, &echo->cleanup);
  uv_poll_start(poll, UV_READABLE, on_poll);
  /* Replies that may come do not keep a process alive. */
  uv_unref((uv_handle_t *)poll);
  if (napi_create_external(env, echo, finalize, NULL, &handle) == napi_ok) return handle;
  echo->wrapped = false;
  close_echo(echo);
  return integer(env, -ENOMEM);
}

static Echo *echo_of(napi_env env, napi_value value) {
  void *data = NULL;
  return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

/* echoSend(handle, message: Uint8Array, address, ttl) -> 0, or negative errno; the message begins with its header */
static napi_value echo_send(napi_env env, napi_callback_info info) {
  napi_value values[4];
  size_t given = 4, length;
  napi_typedarray_type kind;
  void *bytes;
  uint32_t address;
  int32_t ttl;
  Echo *echo;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < 4 ||
      (echo = echo_of(env, values[0])) == NULL ||
      napi_get_typedarray_info(env, values[1], &kind, &length, &bytes, NULL, NULL) != napi_ok ||
      kind != napi_uint8_array || napi_get_value_uint32(env, values[2], &address) != napi_ok ||
      napi_get_value_int32(env, values[3], &ttl) != napi_ok)
    return bad_arguments(env);
  if (echo->closing) return integer(env, -EBADF);
  setsockopt(echo->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  /* What fails at first may be an error about an earlier request, which has its own way to be told. */
  for (int attempt = 0; attempt < 3; attempt++)
    if (sendto(echo->fd, bytes, length, 0, (struct sockaddr *)&to, sizeof to) >= 0) return integer(env, 0);
  return integer(env, -errno);
}

/* echoClose(handle) */
static napi_value echo_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  size_t given = 1;
  Echo *echo;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < 1 ||
      (echo = echo_of(env, values[0])) == NULL)
    return bad_arguments(env);
  close_echo(echo);
  return NULL;
}

void echo_export(napi_env env, napi_value exports) {
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {{"echoOpen", echo_open}, {"echoSend", echo_send}, {"echoClose", echo_close}};
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
}

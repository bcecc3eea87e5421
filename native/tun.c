/*
 * The addon's surface: what JavaScript calls (lib/device/tun/addon.ts has the types). Failures of the system
 * come back as negative errno numbers; only a call with wrong arguments throws. No state is shared between
 * environments, so that it runs in any number of worker threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "device.h"
#include "echo.h"
#include "interface.h"

/* Changes whenever a function below does; addon.ts asks for the same number. */
#define TUNSTACK_ADDON_VERSION 4

#define ARGUMENTS(env, info, n, values)                                     \
  napi_value values[n];                                                     \
  size_t values##_given = n;                                                \
  if (napi_get_cb_info(env, info, &values##_given, values, NULL, NULL) != napi_ok || values##_given < n) \
  return bad_arguments(env)

static napi_value bad_arguments(napi_env env) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "wrong arguments for a function of the TUN addon");
  return NULL;
}

static napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

static napi_value integer(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

static ArenaTable *arenas_of(napi_env env) {
  void *data = NULL;
  napi_get_instance_data(env, &data);
  return data;
}

static Device *device_of(napi_env env, napi_value value) {
  void *data = NULL;
  if (napi_get_value_external(env, value, &data) != napi_ok) return NULL;
  return data;
}

/* Elements and address of a typed array of 32-bit numbers, or NULL. A detached one has no elements. */
static void *words_of(napi_env env, napi_value value, size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  *length = 0;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok) return NULL;
  if (type != napi_uint32_array && type != napi_int32_array) return NULL;
  return data;
}

static void finalize_device(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  device_release(data);
}

/* open(path, name, vnetHeader: boolean, namespace) -> { handle, fd, name } or { errno, syscall }; '': the present one */
static napi_value tun_open(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 4, values);
  char path[4096], namespace[4096];
  size_t path_length, name_length, namespace_length;
  char name[IFNAMSIZ + 1];
  OpenRequest request;
  memset(&request, 0, sizeof request);
  if (napi_get_value_string_utf8(env, values[0], path, sizeof path, &path_length) != napi_ok ||
      napi_get_value_string_utf8(env, values[1], name, sizeof name, &name_length) != napi_ok ||
      napi_get_value_bool(env, values[2], &request.vnet_header) != napi_ok ||
      napi_get_value_string_utf8(env, values[3], namespace, sizeof namespace, &namespace_length) != napi_ok)
    return bad_arguments(env);
  int error = 0;
  Device *device = NULL;
  request.path = path;
  request.namespace = namespace_length == 0 ? NULL : namespace;
  request.failed = "open";
  /* Refused, never cut: a cut name is another interface's name. */
  if (name_length >= IFNAMSIZ || strlen(name) != name_length || strlen(path) != path_length ||
      path_length >= sizeof path - 1 || strlen(namespace) != namespace_length ||
      namespace_length >= sizeof namespace - 1) {
    error = -EINVAL;
  } else {
    memcpy(request.name, name, name_length);
    device = device_open(env, arenas_of(env), &request, &error);
  }
  napi_value result, value;
  napi_create_object(env, &result);
  if (device == NULL) {
    napi_set_named_property(env, result, "errno", integer(env, error));
    napi_create_string_utf8(env, request.failed, NAPI_AUTO_LENGTH, &value);
    napi_set_named_property(env, result, "syscall", value);
    return result;
  }
  if (napi_create_external(env, device, finalize_device, NULL, &value) != napi_ok) {
    device_release(device);
    return bad_arguments(env);
  }
  napi_set_named_property(env, result, "handle", value);
  napi_set_named_property(env, result, "fd", integer(env, device->fd));
  napi_create_string_utf8(env, request.name, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, result, "name", value);
  return result;
}

/* registerArena(buffer: ArrayBuffer) -> id */
static napi_value tun_register_arena(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 1, values);
  bool is_buffer = false;
  if (napi_is_arraybuffer(env, values[0], &is_buffer) != napi_ok || !is_buffer) return bad_arguments(env);
  return number(env, (double)arena_register(env, arenas_of(env), values[0]));
}

/* A typed array of that type, or null. */
static bool is_array_or_null(napi_env env, napi_value value, napi_typedarray_type wanted) {
  napi_valuetype kind;
  napi_typedarray_type type;
  if (napi_typeof(env, value, &kind) == napi_ok && kind == napi_null) return true;
  return napi_get_typedarray_info(env, value, &type, NULL, NULL, NULL, NULL) == napi_ok && type == wanted;
}

/* start(handle, descriptors, headers, spill, maxBatch, busyMicroseconds, callback(n, errno, seconds, nanoseconds)) -> 0 or errno */
static napi_value tun_start(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 7, values);
  Device *device = device_of(env, values[0]);
  ReceiveRing ring = {.descriptors = values[1], .headers = values[2], .spill = values[3], .callback = values[6]};
  size_t length;
  napi_valuetype type;
  if (device == NULL || words_of(env, values[1], &length) == NULL ||
      !is_array_or_null(env, values[2], napi_uint8_array) || !is_array_or_null(env, values[3], napi_uint32_array) ||
      napi_get_value_uint32(env, values[4], &ring.max_batch) != napi_ok ||
      napi_get_value_uint32(env, values[5], &ring.busy_microseconds) != napi_ok ||
      napi_typeof(env, values[6], &type) != napi_ok || type != napi_function)
    return bad_arguments(env);
  if (device->closing) return integer(env, -EBADF);
  return integer(env, device_start(device, &ring));
}

#define ON_OPEN_DEVICE(function, expression)                          \
  static napi_value function(napi_env env, napi_callback_info info) { \
    ARGUMENTS(env, info, 1, values);                                  \
    Device *device = device_of(env, values[0]);                       \
    if (device == NULL) return bad_arguments(env);                    \
    if (device->closing) return integer(env, -EBADF);                 \
    return integer(env, expression);                                  \
  }

ON_OPEN_DEVICE(tun_resume, device_resume(device))
ON_OPEN_DEVICE(tun_pause, device_pause(device))
ON_OPEN_DEVICE(tun_close, (device_close(device), 0))
ON_OPEN_DEVICE(tun_ref, (uv_ref((uv_handle_t *)device->poll), 0))
ON_OPEN_DEVICE(tun_unref, (uv_unref((uv_handle_t *)device->poll), 0))

/* discard(handle, limit) -> packets or errno */
static napi_value tun_discard(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 2, values);
  Device *device = device_of(env, values[0]);
  uint32_t limit;
  if (device == NULL || napi_get_value_uint32(env, values[1], &limit) != napi_ok) return bad_arguments(env);
  if (device->closing) return integer(env, -EBADF);
  return integer(env, device_discard(device, limit));
}

/*
 * writeBatch(handle, descriptors, headers: Uint8Array | null, bodies: (Uint8Array | null)[] | null, n,
 *   status: Int32Array) -> packets taken, or errno if none was tried
 */
static napi_value tun_write_batch(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 6, values);
  Device *device = device_of(env, values[0]);
  SendBatch batch = {0};
  size_t descriptor_words, status_words, header_bytes = 0;
  void *headers = NULL;
  bool with_bodies = false;
  batch.descriptors = words_of(env, values[1], &descriptor_words);
  int32_t *status = words_of(env, values[5], &status_words);
  if (device == NULL || batch.descriptors == NULL || status == NULL ||
      !is_array_or_null(env, values[2], napi_uint8_array) ||
      napi_get_value_uint32(env, values[4], &batch.n) != napi_ok || batch.n > status_words ||
      batch.n > descriptor_words / 3 || napi_is_array(env, values[3], &with_bodies) != napi_ok)
    return bad_arguments(env);
  if (device->closing) return integer(env, -EBADF);
  napi_get_typedarray_info(env, values[2], NULL, &header_bytes, &headers, NULL, NULL);
  if (headers != NULL && header_bytes / VNET_HEADER_STRIDE < batch.n) return bad_arguments(env);
  batch.headers = headers;
  batch.bodies = with_bodies ? values[3] : NULL;
  ArenaView view;
  arena_view_init(&view, env, arenas_of(env));
  return integer(env, (int32_t)device_write(device, &view, &batch, status));
}

/* systemCalls(handle, written: boolean) -> read() or write() calls so far, or errno */
static napi_value tun_system_calls(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 2, values);
  Device *device = device_of(env, values[0]);
  bool written;
  if (device == NULL || napi_get_value_bool(env, values[1], &written) != napi_ok) return bad_arguments(env);
  return number(env, (double)(written ? device->write_calls : device->read_calls));
}

/* getProperty(handle, property) -> value or errno */
static napi_value tun_get_property(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 2, values);
  Device *device = device_of(env, values[0]);
  int32_t property;
  if (device == NULL || napi_get_value_int32(env, values[1], &property) != napi_ok) return bad_arguments(env);
  if (device->closing) return integer(env, -EBADF);
  return number(env, (double)interface_get(device->fd, device->config_fd, property));
}

/* setProperty(handle, property, value) -> 0 or errno */
static napi_value tun_set_property(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 3, values);
  Device *device = device_of(env, values[0]);
  int32_t property;
  uint32_t value;
  if (device == NULL || napi_get_value_int32(env, values[1], &property) != napi_ok ||
      napi_get_value_uint32(env, values[2], &value) != napi_ok)
    return bad_arguments(env);
  if (device->closing) return integer(env, -EBADF);
  return integer(env, interface_set(device->fd, device->config_fd, property, value));
}

/* interfaceIndex(name) -> index or errno */
static napi_value tun_interface_index(napi_env env, napi_callback_info info) {
  ARGUMENTS(env, info, 1, values);
  char name[IFNAMSIZ + 1];
  size_t length;
  if (napi_get_value_string_utf8(env, values[0], name, sizeof name, &length) != napi_ok)
    return bad_arguments(env);
  return integer(env, interface_index(name));
}

static void finalize_arenas(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  ArenaTable *arenas = data;
  free(arenas->references);
  free(arenas);
}

NAPI_MODULE_INIT() {
  ArenaTable *arenas = calloc(1, sizeof *arenas);
  if (arenas == NULL || napi_set_instance_data(env, arenas, finalize_arenas, NULL) != napi_ok) {
    free(arenas);
    return NULL;
  }
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {
      {"open", tun_open},
      {"registerArena", tun_register_arena},
      {"start", tun_start},
      {"pause", tun_pause},
      {"resume", tun_resume},
      {"close", tun_close},
      {"ref", tun_ref},
      {"unref", tun_unref},
      {"discard", tun_discard},
      {"writeBatch", tun_write_batch},
      {"systemCalls", tun_system_calls},
      {"getProperty", tun_get_property},
      {"setProperty", tun_set_property},
      {"interfaceIndex", tun_interface_index},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  echo_export(env, exports);
  napi_set_named_property(env, exports, "version", integer(env, TUNSTACK_ADDON_VERSION));
  return exports;
}

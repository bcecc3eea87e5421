/*
 * The few functions of libuv that the driver uses. node-api-headers brings no uv.h; every Node exports these
 * symbols, and the handle is sized at run time, so that one binary serves every version of libuv 1.x.
 */
#ifndef TUNSTACK_UV_SUBSET_H
#define TUNSTACK_UV_SUBSET_H

#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
typedef struct uv_idle_s uv_idle_t;

/* enum uv_handle_type: the positions are part of libuv's ABI. */
#define UV_IDLE 6
#define UV_POLL 8

/* enum uv_poll_event */
#define UV_READABLE 1
#define UV_DISCONNECT 4

typedef void (*uv_poll_cb)(uv_poll_t *handle, int status, int events);
typedef void (*uv_idle_cb)(uv_idle_t *handle);
typedef void (*uv_close_cb)(uv_handle_t *handle);

extern size_t uv_handle_size(int type);
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);
extern int uv_poll_init(struct uv_loop_s *loop, uv_poll_t *handle, int fd);
extern int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb cb);
extern int uv_poll_stop(uv_poll_t *handle);
extern int uv_idle_init(struct uv_loop_s *loop, uv_idle_t *handle);
extern int uv_idle_start(uv_idle_t *handle, uv_idle_cb cb);
extern int uv_idle_stop(uv_idle_t *handle);
extern uint64_t uv_hrtime(void);
extern void uv_close(uv_handle_t *handle, uv_close_cb cb);
extern void uv_ref(uv_handle_t *handle);
extern void uv_unref(uv_handle_t *handle);

#endif

/*
 * Packet memory as native code sees it. JavaScript registers each ArrayBuffer once and from then on names a
 * piece of memory as (arena, offset, length). The table holds weak references: it keeps no memory alive, and
 * a collected arena's place is used again. Pointers are looked up for every batch, because a program may
 * transfer an ArrayBuffer away: then its length is 0 and every piece of it is refused.
 */
#ifndef TUNSTACK_ARENA_H
#define TUNSTACK_ARENA_H

#include <node_api.h>
#include <stdint.h>

typedef struct {
  napi_ref *references;
  uint32_t length;
  uint32_t capacity;
} ArenaTable;

/* The number the ArrayBuffer is known by, or -1 if memory ran out. */
int64_t arena_register(napi_env env, ArenaTable *table, napi_value buffer);

#define ARENA_CACHE 8

/* What one batch has looked up so far. Valid until JavaScript runs again. */
typedef struct {
  napi_env env;
  const ArenaTable *table;
  uint32_t id[ARENA_CACHE];
  uint8_t *data[ARENA_CACHE];
  size_t length[ARENA_CACHE];
} ArenaView;

void arena_view_init(ArenaView *view, napi_env env, const ArenaTable *table);

/* The address of the piece, or NULL if it is not (or no longer) wholly inside a registered arena. */
uint8_t *arena_piece(ArenaView *view, uint32_t id, uint32_t offset, uint32_t length);

#endif

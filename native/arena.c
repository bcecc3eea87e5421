#include "arena.h"

#include <stdlib.h>
#include <string.h>

int64_t arena_register(napi_env env, ArenaTable *table, napi_value buffer) {
  uint32_t id = table->length;
  for (uint32_t i = 0; i < table->length; i++) {
    napi_value alive = NULL;
    if (table->references[i] != NULL) {
      if (napi_get_reference_value(env, table->references[i], &alive) != napi_ok || alive != NULL) continue;
      napi_delete_reference(env, table->references[i]);
      table->references[i] = NULL;
    }
    id = i;
    break;
  }
  if (id == table->capacity) {
    uint32_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
    napi_ref *grown = realloc(table->references, capacity * sizeof(napi_ref));
    if (grown == NULL) return -1;
    table->references = grown;
    table->capacity = capacity;
  }
  napi_ref reference;
  if (napi_create_reference(env, buffer, 0, &reference) != napi_ok) return -1;
  table->references[id] = reference;
  if (id == table->length) table->length++;
  return id;
}

void arena_view_init(ArenaView *view, napi_env env, const ArenaTable *table) {
  view->env = env;
  view->table = table;
  memset(view->id, 0xff, sizeof view->id);
}

static void look_up(ArenaView *view, uint32_t id, uint32_t place) {
  napi_value buffer = NULL;
  void *data = NULL;
  size_t length = 0;
  if (id < view->table->length && view->table->references[id] != NULL &&
      napi_get_reference_value(view->env, view->table->references[id], &buffer) == napi_ok && buffer != NULL &&
      napi_get_arraybuffer_info(view->env, buffer, &data, &length) != napi_ok) {
    length = 0;
  }
  view->id[place] = id;
  view->data[place] = data;
  view->length[place] = data == NULL ? 0 : length;
}

uint8_t *arena_piece(ArenaView *view, uint32_t id, uint32_t offset, uint32_t length) {
  uint32_t place = id % ARENA_CACHE;
  if (view->id[place] != id || id == UINT32_MAX) look_up(view, id, place);
  size_t size = view->length[place];
  if (offset > size || length > size - offset) return NULL;
  if (view->data[place] == NULL) return NULL;
  return view->data[place] + offset;
}

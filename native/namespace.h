/*
 * Work done in another network namespace by a child process that shares this one's descriptors: what it opens stays
 * open here, and this process, whose threads libuv and V8 own, enters nothing itself.
 */
#ifndef TUNSTACK_NAMESPACE_H
#define TUNSTACK_NAMESPACE_H

#include <stddef.h>

/*
 * Runs job(shared) in the network namespace that `path` names (/proc/PID/ns/net, /run/netns/NAME). `shared`, `size`
 * bytes, is given to the child and what it has made of it is copied back. 0, or a negative errno and in *failed the
 * call that failed. The job may make system calls only.
 */
int in_namespace(const char *path, void (*job)(void *shared), void *shared, size_t size, const char **failed);

#endif

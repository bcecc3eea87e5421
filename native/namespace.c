#define _GNU_SOURCE
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* <linux/nsfs.h> */
#define NS_GET_USERNS_ _IO(0xb7, 0x1)

/* What the child hands back; what was shared lies behind it. */
typedef struct {
  int error;
  const char *failed;
} Report;

/*
 * Where this process has no rights over the namespace, its user namespace is entered first: whoever has made that has
 * all of them in there. The kernel lets only a process with one thread do so.
 */
static int enter(int namespace, const char **failed) {
  *failed = "setns";
  if (setns(namespace, CLONE_NEWNET) == 0) return 0;
  if (errno != EPERM) return -errno;
  int owner = ioctl(namespace, NS_GET_USERNS_);
  if (owner < 0) return -EPERM;
  int result = setns(owner, CLONE_NEWUSER) < 0 || setns(namespace, CLONE_NEWNET) < 0 ? -EPERM : 0;
  close(owner);
  return result;
}

int in_namespace(const char *path, void (*job)(void *shared), void *shared, size_t size, const char **failed) {
  *failed = "open namespace";
  int namespace = open(path, O_RDONLY | O_CLOEXEC);
  if (namespace < 0) return -errno;
  *failed = "mmap";
  Report *report = mmap(NULL, sizeof *report + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (report == MAP_FAILED) {
    int error = -errno;
    close(namespace);
    return error;
  }
  memcpy(report + 1, shared, size);
  report->error = -EIO;
  report->failed = *failed = "clone";
  /* A handler of libuv's in the child would write into the pipe of this process. */
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child == 0) {
    report->error = enter(namespace, &report->failed);
    if (report->error == 0) job(report + 1);
    _exit(0);
  }
  int error = child < 0 ? -errno : 0;
  if (child > 0)
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (child > 0) {
    error = report->error;
    *failed = report->failed;
    memcpy(shared, report + 1, size);
  }
  munmap(report, sizeof *report + size);
  close(namespace);
  return error;
}

/* Something happens to this process at the n-th moment of its work in a folder.

   Loaded before the C library, so that it sees what Python and the C++ of other libraries do alike.
   The moments are those before and after each renaming and each syncing of what lies in the folder,
   and each locking of a file; on a full disk, the bytes written and the folders made there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int signal_number;
static long counted, at = -1, written, room = -1;

/* The n-th moment sends `number`; the disk takes `bytes`; -1 is never. */
void moments_arm(const char *folder, int number, long n, long bytes) {
  snprintf(root, sizeof root, "%s/", folder);
  signal_number = number, at = n, room = bytes, counted = written = 0;
}

long moments_counted(void) { return counted; }

long moments_written(void) { return written; }

static int inside(const char *path) { return *root && !strncmp(path, root, strlen(root)); }

static int inside_of(int folder, const char *path) {
  char link[64], found[PATH_MAX];
  if (path && *path == '/') return inside(path);
  if (folder == AT_FDCWD) return 0; /* the program is given whole paths */
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  ssize_t length = readlink(link, found, sizeof found - 2);
  if (length <= 0) return 0;
  strcpy(found + length, "/");
  return inside(found);
}

static void moment(int here) {
  if (!here) return;
  pthread_mutex_lock(&mutex);
  if (counted++ == at) kill(getpid(), signal_number);
  pthread_mutex_unlock(&mutex);
}

/* How many of these bytes the disk still takes. */
static size_t taken(int here, size_t bytes) {
  if (!here) return bytes;
  pthread_mutex_lock(&mutex);
  if (room >= 0 && written + (long)bytes > room) bytes = room > written ? room - written : 0;
  written += bytes;
  pthread_mutex_unlock(&mutex);
  return bytes;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define AROUND(here, call)   \
  int _here = (here);        \
  moment(_here);             \
  int _result = (call);      \
  int _error = errno;        \
  moment(_here);             \
  errno = _error;            \
  return _result

int rename(const char *from, const char *to) {
  AROUND(inside_of(AT_FDCWD, to), NEXT(rename)(from, to));
}

int renameat(int a, const char *from, int b, const char *to) {
  AROUND(inside_of(b, to), NEXT(renameat)(a, from, b, to));
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  AROUND(inside_of(b, to), NEXT(renameat2)(a, from, b, to, flags));
}

int fsync(int file) { AROUND(inside_of(file, NULL), NEXT(fsync)(file)); }

int fdatasync(int file) { AROUND(inside_of(file, NULL), NEXT(fdatasync)(file)); }

int flock(int file, int how) { AROUND(inside_of(file, NULL), NEXT(flock)(file, how)); }

static int full(void) {
  errno = ENOSPC;
  return -1;
}

ssize_t write(int file, const void *bytes, size_t size) {
  size_t fits = taken(inside_of(file, NULL), size);
  return size && !fits ? full() : NEXT(write)(file, bytes, fits);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t place) {
  size_t fits = taken(inside_of(file, NULL), size);
  return size && !fits ? full() : NEXT(pwrite)(file, bytes, fits, place);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t place) {
  return pwrite(file, bytes, size, place);
}

static size_t size_of(const struct iovec *parts, int count) {
  size_t size = 0;
  while (count--) size += parts++->iov_len;
  return size;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  size_t size = size_of(parts, count);
  return taken(inside_of(file, NULL), size) < size ? full() : NEXT(writev)(file, parts, count);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t place) {
  size_t size = size_of(parts, count);
  if (taken(inside_of(file, NULL), size) < size) return full();
  return NEXT(pwritev)(file, parts, count, place);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t place) {
  return pwritev(file, parts, count, place);
}

int mkdir(const char *path, mode_t mode) {
  int here = inside_of(AT_FDCWD, path);
  return taken(here, 4096) < 4096 ? full() : NEXT(mkdir)(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
  int here = inside_of(folder, path);
  return taken(here, 4096) < 4096 ? full() : NEXT(mkdirat)(folder, path, mode);
}

int posix_fallocate(int file, off_t place, off_t size) {
  int here = inside_of(file, NULL);
  if (here && room >= 0 && written + size > room) return ENOSPC;
  return NEXT(posix_fallocate)(file, place, size);
}

int posix_fallocate64(int file, off64_t place, off64_t size) {
  return posix_fallocate(file, place, size);
}

/* Moves CLOCK_REALTIME, and nothing else, by the nanoseconds that stand in the file CLOCK_SHIFT_FILE. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t *shift;

__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("CLOCK_SHIFT_FILE"), O_RDWR);
  shift = mmap(0, sizeof *shift, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
}

static int64_t now(void) {
  struct timespec real;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
  return real.tv_sec * 1000000000LL + real.tv_nsec + *shift;
}

int clock_gettime(clockid_t id, struct timespec *out) {
  if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) return syscall(SYS_clock_gettime, id, out);
  int64_t moved = now();
  out->tv_sec = moved / 1000000000LL;
  out->tv_nsec = moved % 1000000000LL;
  return 0;
}

int clock_settime(clockid_t id, const struct timespec *to) {
  (void)id; /* the machine's own clock is left alone */
  *shift += to->tv_sec * 1000000000LL + to->tv_nsec - now();
  return 0;
}

int gettimeofday(struct timeval *out, void *zone) {
  (void)zone;
  int64_t moved = now();
  out->tv_sec = moved / 1000000000LL;
  out->tv_usec = moved % 1000000000LL / 1000;
  return 0;
}

time_t time(time_t *out) {
  time_t seconds = now() / 1000000000LL;
  if (out) *out = seconds;
  return seconds;
}

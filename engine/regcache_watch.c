/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The watcher: a thread that reads what the kernel says of changes in registered memory. See
 * regcache.h for the order of things, and for what this thread must never do.
 *
 * Memory is registered with userfaultfd for write protection, of which nothing is ever protected:
 * so no fault is ever reported, but events are. Source: Linux
 * Documentation/admin-guide/mm/userfaultfd.rst, fs/userfaultfd.c (an event's thread waits until it
 * has been read; ioctls that write fail with EAGAIN from before the change until then).
 */
#include "regcache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11 */
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12) /* Linux 5.19 */
#endif

#define EVENTS (UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE)
#define NEEDED (EVENTS | UFFD_FEATURE_PAGEFAULT_FLAG_WP)
#define WANTED (NEEDED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)

#define READ_EVENTS 16

/* Return: a descriptor or a negative errno. *features: wanted, then those there are. */
static int open_with(uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api)) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	*features = api.features;
	return fd;
}

static int open_uffd(struct ioas_regcache *cache)
{
	struct diag *diag = &cache->as->ctx->diag;
	uint64_t features = 0;
	int fd = open_with(&features);

	if (fd >= 0) {
		close(fd);
		features &= WANTED;
		fd = (features & NEEDED) == NEEDED ? open_with(&features) : -EOPNOTSUPP;
	}
	if (fd < 0)
		return diag_fail(
			diag, -EOPNOTSUPP,
			"registration cache: userfaultfd: %s: needs Linux 5.11 with "
			"CONFIG_USERFAULTFD, and write protection on this architecture; or "
			"IOAS_WATCH_NONE",
			strerror(-fd));
	cache->uffd = fd;
	return 0;
}

/* Under lock. */
static void take_note(struct ioas_regcache *cache, const struct uffd_msg *msg)
{
	unsigned int killed = 0;

	switch (msg->event) {
	case UFFD_EVENT_UNMAP:
	case UFFD_EVENT_REMOVE:
		killed = regcache_kill_range(cache, msg->arg.remove.start, msg->arg.remove.end - 1);
		break;
	case UFFD_EVENT_REMAP:
		killed = regcache_kill_range(cache, msg->arg.remap.from,
					     msg->arg.remap.from + msg->arg.remap.len - 1);
		killed += regcache_kill_range(cache, msg->arg.remap.to,
					      msg->arg.remap.to + msg->arg.remap.len - 1);
		break;
	}
	cache->invalidations += killed;
}

static void read_events(struct ioas_regcache *cache)
{
	struct uffd_msg events[READ_EVENTS];
	ssize_t bytes;

	pthread_mutex_lock(&cache->lock);
	/*
	 * Before the read, which lets the thread go that unmaps: what it does after that finds
	 * this. The system call orders the store before it.
	 */
	atomic_store_explicit(&cache->page->open, 0, memory_order_seq_cst);
	do {
		bytes = read(cache->uffd, events, sizeof(events));
		for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(events[0]); i++)
			take_note(cache, &events[i]);
	} while (bytes == sizeof(events));
	/* Release: who finds the map open finds it as it is now. */
	atomic_store_explicit(&cache->page->open, 1, memory_order_release);
	pthread_mutex_unlock(&cache->lock);
}

static void *watch_on(void *arg)
{
	struct ioas_regcache *cache = arg;
	struct pollfd fds[] = {
		{ .fd = cache->uffd, .events = POLLIN },
		{ .fd = cache->stop_fd, .events = POLLIN },
	};

	while (!(fds[1].revents & POLLIN))
		if (poll(fds, 2, -1) > 0 && (fds[0].revents & POLLIN))
			read_events(cache);
	return NULL;
}

int regcache_start_watch(struct ioas_regcache *cache)
{
	struct diag *diag = &cache->as->ctx->diag;
	sigset_t all, old;
	int ret = open_uffd(cache);

	if (ret)
		return ret;
	cache->stop_fd = eventfd(0, EFD_CLOEXEC);
	ret = cache->stop_fd < 0 ? errno : 0;
	if (!ret) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		ret = pthread_create(&cache->watcher, NULL, watch_on, cache);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (ret) {
		regcache_stop_watch(cache);
		return diag_fail(diag, -ret, "registration cache: cannot start the watcher: %s",
				 strerror(ret));
	}
	pthread_setname_np(cache->watcher, "ioas-watcher");
	cache->watching = true;
	return 0;
}

void regcache_stop_watch(struct ioas_regcache *cache)
{
	if (cache->watching) {
		eventfd_write(cache->stop_fd, 1);
		pthread_join(cache->watcher, NULL);
		cache->watching = false;
	}
	/* Lets go whoever waits for an event to be read. */
	if (cache->uffd >= 0)
		close(cache->uffd);
	if (cache->stop_fd >= 0)
		close(cache->stop_fd);
	cache->uffd = cache->stop_fd = -1;
}

int regcache_watch(struct ioas_regcache *cache, uint64_t start, uint64_t bytes)
{
	struct uffdio_register args = { .range = { .start = start, .len = bytes },
					.mode = UFFDIO_REGISTER_MODE_WP };

	return ioctl(cache->uffd, UFFDIO_REGISTER, &args) ? -errno : 0;
}

void regcache_unwatch(struct ioas_regcache *cache, uint64_t start, uint64_t bytes)
{
	struct uffdio_range range = { .start = start, .len = bytes };

	/* Of what is unmapped there is nothing to undo: EINVAL. */
	if (cache->uffd >= 0)
		ioctl(cache->uffd, UFFDIO_UNREGISTER, &range);
}

bool regcache_unmap_pending(const struct ioas_regcache *cache)
{
	/*
	 * The first thing that it looks at; then it finds that there is nothing to protect
	 * (EINVAL). An argument that cannot be read would cost a page fault, five times as much.
	 */
	static const struct uffdio_writeprotect nothing;

	return ioctl(cache->uffd, UFFDIO_WRITEPROTECT, &nothing) && errno == EAGAIN;
}

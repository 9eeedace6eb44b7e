/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of other processes. See peer.h. */
#include "peer.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3 */
#endif

int peer_self(void)
{
	int fd = syscall(SYS_pidfd_open, getpid(), 0);

	return fd < 0 ? -errno : fd;
}

static void let_go(struct peer_watch *watch)
{
	close(watch->fd);
	rte_intr_instance_free(watch->handle);
	watch->handle = NULL;
}

/* The file stays readable: it must not be waited for again. Files are closed by stop, later. */
static void on_readable(void *arg)
{
	struct peer_watch *watch = arg;

	watch->ended(watch->arg);
	rte_intr_callback_unregister_pending(watch->handle, on_readable, watch, NULL);
}

int peer_watch_start(struct peer_watch *watch, int fd, void (*ended)(void *arg), void *arg)
{
	int rc = -ENOMEM;

	*watch = (struct peer_watch){ .fd = fd, .ended = ended, .arg = arg };
	watch->handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (watch->handle != NULL && rte_intr_fd_set(watch->handle, fd) == 0 &&
	    rte_intr_type_set(watch->handle, RTE_INTR_HANDLE_EXT) == 0)
		rc = rte_intr_callback_register(watch->handle, on_readable, watch);
	if (rc != 0)
		let_go(watch);
	return rc;
}

void peer_watch_stop(struct peer_watch *watch)
{
	if (watch->handle == NULL)
		return;
	/* -ENOENT: it has run, and is not waited for any more. */
	rte_intr_callback_unregister_sync(watch->handle, on_readable, watch);
	let_go(watch);
}

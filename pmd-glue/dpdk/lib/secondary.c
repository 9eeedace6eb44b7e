/* SPDX-License-Identifier: BSD-3-Clause */
/* A secondary process: it reads the primary's table, and asks for what changes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>

#include "lib.h"

#define PATIENCE_S 5

static bool primary_gone(const struct ioas_dpdk *glue)
{
	return __atomic_load_n(&glue->primary_gone, __ATOMIC_ACQUIRE);
}

static void on_end(void *arg)
{
	struct ioas_dpdk *glue = arg;

	__atomic_store_n(&glue->primary_gone, true, __ATOMIC_RELEASE);
	LIB_LOG(ERR, "%s: the primary process has ended, and nothing is mapped any more",
		glue->name);
}

/* @fd: of the request, or -1. @fds: receives those of the answer, PEER_FDS or none; or NULL. */
static int ask(struct ioas_dpdk *glue, struct peer_message *message, int fd, int *fds)
{
	const struct timespec patience = { .tv_sec = PATIENCE_S };
	struct rte_mp_msg request = { .name = PEER_ACTION, .len_param = sizeof(*message) };
	struct rte_mp_reply reply = { .msgs = NULL };
	int rc;

	message->version = PEER_VERSION;
	message->owner = glue->owner;
	memcpy(message->name, glue->name, sizeof(message->name));
	memcpy(request.param, message, sizeof(*message));
	if (fd >= 0)
		request.fds[request.num_fds++] = fd;
	if (primary_gone(glue))
		return -EOWNERDEAD;
	rc = rte_mp_request_sync(&request, &reply, &patience);
	if (rc != 0 || reply.nb_received != 1) {
		rc = primary_gone(glue)		 ? -EOWNERDEAD
		     : rc != 0 && rte_errno != 0 ? -rte_errno
		     : reply.nb_sent == 0	 ? -ECONNREFUSED
						 : -ETIMEDOUT;
	} else {
		const struct rte_mp_msg *answer = &reply.msgs[0];

		memcpy(message, answer->param, sizeof(*message));
		rc = message->rc;
		if (fds != NULL && rc == 0 && answer->num_fds != PEER_FDS)
			rc = -EPROTO;
		else if (fds != NULL && rc == 0)
			memcpy(fds, answer->fds, PEER_FDS * sizeof(fds[0]));
	}
	free(reply.msgs);
	return rc;
}

int secondary_open(struct ioas_dpdk *glue)
{
	struct peer_message message = { .kind = PEER_JOIN };
	int fds[PEER_FDS], self = peer_self(), rc;

	if (self < 0) {
		LIB_LOG(ERR, "%s: pidfd_open: %s", glue->name, strerror(-self));
		return self;
	}
	rc = ask(glue, &message, self, fds);
	close(self);
	if (rc == -ETIMEDOUT)
		rc = -ECONNREFUSED;
	if (rc != 0) {
		LIB_LOG(ERR, "%s: the primary process %s: %s", glue->name,
			rc == -ENOENT ? "has nothing open of that name" : "does not let us join",
			strerror(-rc));
		return rc;
	}
	glue->owner = message.owner;
	rc = share_join(&glue->share, fds[PEER_FD_TABLE]);
	close(fds[PEER_FD_TABLE]);
	if (rc == 0) {
		rc = peer_watch_start(&glue->primary, fds[PEER_FD_PROCESS], on_end, glue);
		if (rc != 0)
			share_destroy(&glue->share);
	} else {
		close(fds[PEER_FD_PROCESS]);
	}
	if (rc != 0)
		LIB_LOG(ERR, "%s: cannot join: %s", glue->name, strerror(-rc));
	return rc;
}

void secondary_close(struct ioas_dpdk *glue)
{
	struct peer_message message = { .kind = PEER_LEAVE };

	ask(glue, &message, -1, NULL);
	peer_watch_stop(&glue->primary);
}

static int change(struct ioas_dpdk *glue, uint32_t kind, void *va, size_t bytes, uint64_t iova)
{
	struct peer_message message = {
		.kind = kind, .va = (uintptr_t)va, .bytes = bytes, .iova = iova
	};
	int rc = ask(glue, &message, -1, NULL);

	if (rc != 0)
		LIB_LOG(ERR, "%s: %s %p, %zu bytes: %s%s", glue->name,
			kind == PEER_MAP ? "map" : "unmap", va, bytes, strerror(-rc),
			rc == -EOWNERDEAD ? ": the primary process has ended"
			: rc == -ECONNREFUSED || rc == -ETIMEDOUT
				? ": the primary process does not answer"
				: " (the log of the primary process says why)");
	return rc;
}

int secondary_map(struct ioas_dpdk *glue, void *va, size_t bytes, uint64_t iova)
{
	return change(glue, PEER_MAP, va, bytes, iova);
}

int secondary_unmap(struct ioas_dpdk *glue, void *va, size_t bytes)
{
	return change(glue, PEER_UNMAP, va, bytes, 0);
}

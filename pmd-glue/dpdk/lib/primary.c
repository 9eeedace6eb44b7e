/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The primary's half: secondary processes join, map and leave, or end without a word.
 *
 * Requests come in EAL's message thread, which runs them one by one, under the registry's lock: the
 * glue cannot be closed meanwhile. The end of a process comes in EAL's interrupt thread. Both may
 * give back what a secondary had; there is something to give back for the first only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>

#include "lib.h"

struct request {
	struct peer_message *message; /* becomes the answer */
	int *fds;		      /* those of the request, then those of the answer */
	int count;
};

unsigned int primary_count(struct ioas_dpdk *glue)
{
	unsigned int count = 0;

	pthread_mutex_lock(&glue->lock);
	for (const struct secondary *one = glue->secondaries; one != NULL; one = one->next)
		count += !one->ended;
	pthread_mutex_unlock(&glue->lock);
	return count;
}

static void on_end(void *arg)
{
	struct secondary *secondary = arg;
	struct ioas_dpdk *glue = secondary->glue;
	unsigned int count = memory_unmap_owner(&glue->memory, secondary->owner);

	pthread_mutex_lock(&glue->lock);
	secondary->ended = true;
	pthread_mutex_unlock(&glue->lock);
	LIB_LOG(NOTICE, "%s: secondary process %u has ended, %u mappings of it are undone",
		glue->name, secondary->owner, count);
}

/* Those that have ended, or all, or the one of that number, come off the list. */
static struct secondary *take(struct ioas_dpdk *glue, bool all, uint32_t owner)
{
	struct secondary **link = &glue->secondaries, *taken = NULL;

	pthread_mutex_lock(&glue->lock);
	while (*link != NULL) {
		struct secondary *one = *link;

		if (!all && !one->ended && one->owner != owner) {
			link = &one->next;
			continue;
		}
		*link = one->next;
		one->next = taken;
		taken = one;
	}
	pthread_mutex_unlock(&glue->lock);
	return taken;
}

static void let_go(struct secondary *list)
{
	while (list != NULL) {
		struct secondary *one = list;

		list = one->next;
		peer_watch_stop(&one->watch);
		memory_unmap_owner(&one->glue->memory, one->owner);
		free(one);
	}
}

static int join(struct ioas_dpdk *glue, struct request *request)
{
	struct secondary *secondary;
	int self, table, rc;

	let_go(take(glue, false, 0));
	if (request->count != 1)
		return -EINVAL;
	secondary = calloc(1, sizeof(*secondary));
	self = peer_self();
	table = dup(glue->share.fd);
	if (secondary == NULL || self < 0 || table < 0) {
		rc = secondary == NULL ? -ENOMEM : self < 0 ? self : -errno;
		goto fail;
	}
	secondary->glue = glue;
	secondary->owner = MEMORY_SECONDARY + glue->owners++;
	pthread_mutex_lock(&glue->lock);
	secondary->next = glue->secondaries;
	glue->secondaries = secondary;
	pthread_mutex_unlock(&glue->lock);
	rc = peer_watch_start(&secondary->watch, request->fds[PEER_FD_PROCESS], on_end, secondary);
	request->count = 0; /* has become the watch's */
	if (rc != 0) {
		let_go(take(glue, false, secondary->owner));
		secondary = NULL;
		goto fail;
	}
	request->message->owner = secondary->owner;
	request->fds[PEER_FD_PROCESS] = self;
	request->fds[PEER_FD_TABLE] = table;
	request->count = PEER_FDS;
	LIB_LOG(INFO, "%s: secondary process %u has joined", glue->name, secondary->owner);
	return 0;
fail:
	if (self >= 0)
		close(self);
	if (table >= 0)
		close(table);
	free(secondary);
	return rc;
}

static bool is_known(struct ioas_dpdk *glue, uint32_t owner)
{
	bool known = false;

	pthread_mutex_lock(&glue->lock);
	for (const struct secondary *one = glue->secondaries; one != NULL; one = one->next)
		known |= one->owner == owner && !one->ended;
	pthread_mutex_unlock(&glue->lock);
	return known;
}

static int serve(struct ioas_dpdk *glue, void *arg)
{
	struct request *request = arg;
	struct peer_message *message = request->message;
	void *va = (void *)(uintptr_t)message->va;

	if (message->kind == PEER_JOIN)
		return join(glue, request);
	if (!is_known(glue, message->owner))
		return -ENOENT;
	switch (message->kind) {
	case PEER_LEAVE:
		let_go(take(glue, false, message->owner));
		return 0;
	case PEER_MAP:
		return memory_map(&glue->memory, va, message->bytes, message->iova, message->owner);
	case PEER_UNMAP:
		return memory_unmap(&glue->memory, va, message->bytes, message->owner);
	}
	return -EINVAL;
}

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		close(fds[i]);
}

static int on_request(const struct rte_mp_msg *in, const void *peer)
{
	struct rte_mp_msg out = *in;
	struct peer_message *message = (struct peer_message *)out.param;
	struct request request = { .message = message, .fds = out.fds, .count = in->num_fds };
	int rc;

	message->name[IOAS_DPDK_NAME_BYTES - 1] = '\0';
	if (in->len_param != sizeof(*message) || message->version != PEER_VERSION)
		rc = -EPROTO;
	else
		rc = registry_visit(message->name, serve, &request);
	if (rc != 0) {
		close_all(request.fds, request.count);
		request.count = 0;
	}
	message->rc = rc;
	out.len_param = sizeof(*message);
	out.num_fds = request.count;
	rc = rte_mp_reply(&out, peer);
	close_all(request.fds, request.count); /* the other process has copies */
	return rc;
}

static void start(void)
{
	/* ENOTSUP: EAL shares nothing (--in-memory), and there will be no secondary. */
	if (rte_mp_action_register(PEER_ACTION, on_request) != 0 && rte_errno != ENOTSUP)
		LIB_LOG(ERR, "secondary processes cannot join: %s", rte_strerror(rte_errno));
}

void primary_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
}

void primary_stop(struct ioas_dpdk *glue)
{
	let_go(take(glue, true, 0));
}

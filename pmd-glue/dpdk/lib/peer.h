/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Secondary processes: what they and the primary say to each other (rte_mp), and how each learns
 * that the other has ended.
 *
 * A secondary joins with a pidfd of its own and gets the primary's, and the table of share.h. A
 * pidfd is readable when its process has ended, however that came; EAL's interrupt thread waits for
 * it. Source: pidfd_open(2); DPDK Programmer's Guide, "Multi-process Support".
 */
#ifndef IOAS_DPDK_PEER_H
#define IOAS_DPDK_PEER_H

#include <rte_eal.h>
#include <rte_interrupts.h>

#include "ioas_dpdk.h"

#define PEER_ACTION  "ioas_dpdk"
#define PEER_VERSION 1

enum peer_kind { PEER_JOIN = 1, PEER_LEAVE, PEER_MAP, PEER_UNMAP };

/* A request and its answer. */
struct peer_message {
	uint32_t version;
	uint32_t kind;
	char name[IOAS_DPDK_NAME_BYTES];
	uint32_t owner; /* given by the primary when one joins */
	int32_t rc;
	uint64_t va;
	uint64_t bytes;
	uint64_t iova;
};

_Static_assert(sizeof(struct peer_message) <= RTE_MP_MAX_PARAM_LEN, "a message has room for it");

/* Files of a join: the request has one, the answer both. */
enum { PEER_FD_PROCESS, PEER_FD_TABLE, PEER_FDS };

/* Return: a pidfd of this process, or a negative errno. */
int peer_self(void);

/* The end of another process. */
struct peer_watch {
	int fd;
	struct rte_intr_handle *handle;
	void (*ended)(void *arg); /* in EAL's interrupt thread, once */
	void *arg;
};

/* Takes over @fd, also when it fails. Return: 0 or a negative errno. */
int peer_watch_start(struct peer_watch *watch, int fd, void (*ended)(void *arg), void *arg);
/* Waits for a callback that runs, so not to be called from one. Frees what start took. */
void peer_watch_stop(struct peer_watch *watch);

#endif

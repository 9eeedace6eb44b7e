/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that is pulled out while its registers are accessed: SIGBUS, on the accessing thread.
 * Handlers of drivers mend the access; when there are none, the signal does what it did before.
 */
#include "ioas_env.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HANDLERS_MAX 16

/* Filled once and never moved, as the signal may come at any time. */
static struct {
	_Atomic(spdk_pci_error_handler) call;
	void *arg;
} handlers[HANDLERS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static unsigned int count; /* of handlers; under the lock */

static void catch (int signal, siginfo_t *info, void *context)
{
	bool handled = false;

	(void)context;
	for (unsigned int i = 0; i < HANDLERS_MAX; i++) {
		/* Acquire: pairs with the release after the argument was written. */
		spdk_pci_error_handler call =
			atomic_load_explicit(&handlers[i].call, memory_order_acquire);

		if (call) {
			call(info->si_addr, handlers[i].arg);
			handled = true;
		}
	}
	if (!handled) { /* the access is tried again, and meets what there was before */
		sigaction(signal, &before, NULL);
	}
}

/* Under the lock. Return: its index, HANDLERS_MAX for none. */
static unsigned int find(spdk_pci_error_handler handler)
{
	unsigned int i = 0;

	while (i < HANDLERS_MAX && atomic_load(&handlers[i].call) != handler)
		i++;
	return i;
}

/* Under the lock. */
static int add(spdk_pci_error_handler handler, void *arg)
{
	struct sigaction action = { .sa_sigaction = catch, .sa_flags = SA_SIGINFO };
	const unsigned int at = find(NULL);

	if (at == HANDLERS_MAX)
		return -ENOSPC;
	if (!count && sigaction(SIGBUS, &action, &before))
		return -errno;
	handlers[at].arg = arg;
	atomic_store_explicit(&handlers[at].call, handler, memory_order_release);
	count++;
	return 0;
}

int spdk_pci_register_error_handler(spdk_pci_error_handler sighandler, void *ctx)
{
	int ret = -EINVAL;

	pthread_mutex_lock(&lock);
	if (sighandler)
		ret = find(sighandler) < HANDLERS_MAX ? -EEXIST : add(sighandler, ctx);
	pthread_mutex_unlock(&lock);
	return ret;
}

void spdk_pci_unregister_error_handler(spdk_pci_error_handler sighandler)
{
	unsigned int at;

	if (!sighandler)
		return;
	pthread_mutex_lock(&lock);
	at = find(sighandler);
	if (at < HANDLERS_MAX) {
		atomic_store(&handlers[at].call, NULL);
		if (!--count)
			sigaction(SIGBUS, &before, NULL);
	}
	pthread_mutex_unlock(&lock);
}

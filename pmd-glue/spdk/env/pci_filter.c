/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which devices the program wants: all but those that it blocks, or only those that it allows.
 * spdk_pci_device_allow() adds to the latter and takes from the former.
 */
#include "ioas_env.h"
#include "pci.h"

#include <errno.h>
#include <stdlib.h>

static struct spdk_pci_addr *listed;
static size_t count;
static bool listed_are_blocked = true;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Under the lock. Return: its index, or `count`. */
static size_t find(const struct spdk_pci_addr *addr)
{
	size_t i = 0;

	while (i < count && spdk_pci_addr_compare(&listed[i], addr))
		i++;
	return i;
}

static int add(const struct spdk_pci_addr *addr)
{
	struct spdk_pci_addr *grown = realloc(listed, (count + 1) * sizeof(*listed));

	if (!grown)
		return -ENOMEM;
	listed = grown;
	listed[count++] = *addr;
	return 0;
}

int ioas_env_pci_filter_open(const struct spdk_env_opts *opts)
{
	const struct spdk_pci_addr *addrs = opts->pci_blocked ?: opts->pci_allowed;
	int ret = 0;

	if (opts->pci_blocked && opts->pci_allowed) {
		SPDK_ERRLOG("ioas: pci_blocked and pci_allowed exclude each other\n");
		return -EINVAL;
	}
	listed_are_blocked = !opts->pci_allowed;
	for (size_t i = 0; !ret && addrs && i < opts->num_pci_addr; i++)
		ret = add(&addrs[i]);
	return ret;
}

bool ioas_env_pci_is_wanted(const struct spdk_pci_addr *addr)
{
	bool is_listed;

	pthread_mutex_lock(&lock);
	is_listed = find(addr) < count;
	pthread_mutex_unlock(&lock);
	return is_listed != listed_are_blocked;
}

int spdk_pci_device_allow(struct spdk_pci_addr *pci_addr)
{
	size_t at;
	int ret = 0;

	pthread_mutex_lock(&lock);
	at = find(pci_addr);
	if (listed_are_blocked && at < count)
		listed[at] = listed[--count];
	else if (!listed_are_blocked && at == count)
		ret = add(pci_addr);
	pthread_mutex_unlock(&lock);
	return ret;
}

void ioas_env_pci_filter_close(void)
{
	free(listed);
	listed = NULL;
	count = 0;
}

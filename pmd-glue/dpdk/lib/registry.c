/* SPDX-License-Identifier: BSD-3-Clause */
/* What is open in this process, by name. */
#include <errno.h>
#include <string.h>

#include "lib.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ioas_dpdk *all;

static struct ioas_dpdk *find(const char *name)
{
	struct ioas_dpdk *glue = all;

	while (glue != NULL && strcmp(glue->name, name) != 0)
		glue = glue->next;
	return glue;
}

int registry_reserve(struct ioas_dpdk *glue)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (find(glue->name) != NULL) {
		rc = -EEXIST;
	} else {
		glue->next = all;
		all = glue;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static void set_shown(struct ioas_dpdk *glue, bool shown)
{
	pthread_mutex_lock(&lock);
	glue->shown = shown;
	pthread_mutex_unlock(&lock);
}

void registry_show(struct ioas_dpdk *glue)
{
	set_shown(glue, true);
}

void registry_hide(struct ioas_dpdk *glue)
{
	set_shown(glue, false);
}

struct ioas_dpdk *registry_take_shown(void)
{
	struct ioas_dpdk *glue;

	pthread_mutex_lock(&lock);
	glue = all;
	while (glue != NULL && !glue->shown)
		glue = glue->next;
	if (glue != NULL)
		glue->shown = false;
	pthread_mutex_unlock(&lock);
	return glue;
}

void registry_remove(struct ioas_dpdk *glue)
{
	struct ioas_dpdk **link = &all;

	pthread_mutex_lock(&lock);
	while (*link != NULL && *link != glue)
		link = &(*link)->next;
	if (*link != NULL)
		*link = glue->next;
	pthread_mutex_unlock(&lock);
}

int registry_visit(const char *name, int (*visit)(struct ioas_dpdk *glue, void *arg), void *arg)
{
	int rc = name != NULL ? -ENOENT : 0;

	pthread_mutex_lock(&lock);
	for (struct ioas_dpdk *glue = all; glue != NULL; glue = glue->next) {
		if (!glue->shown || (name != NULL && strcmp(glue->name, name) != 0))
			continue;
		rc = visit(glue, arg);
		if (rc != 0)
			break;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

struct ioas_dpdk *ioas_dpdk_find(const char *name)
{
	struct ioas_dpdk *glue;

	pthread_mutex_lock(&lock);
	glue = find(name != NULL ? name : DEFAULT_NAME);
	if (glue != NULL && !glue->shown)
		glue = NULL;
	pthread_mutex_unlock(&lock);
	return glue;
}

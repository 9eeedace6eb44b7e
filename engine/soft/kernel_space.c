/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernel half: address spaces, domain ids, attachment. See kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static int domain_new(struct soft_be *be, uint16_t *domain)
{
	for (unsigned int i = 0; i < SOFT_DOMAINS / 64; i++)
		if (~be->domains[i]) {
			unsigned int bit = __builtin_ctzll(~be->domains[i]);

			be->domains[i] |= UINT64_C(1) << bit;
			*domain = i * 64 + bit;
			return 0;
		}
	return diag_fail(be->base.diag, -ENOSPC, "soft: all domain ids are in use");
}

static void domain_free(struct soft_be *be, uint16_t domain)
{
	be->domains[domain / 64] &= ~(UINT64_C(1) << domain % 64);
}

static int create_kernel(struct soft_be *be, struct soft_space *space,
			 const struct be_space_attr *attr)
{
	int ret;

	if (attr->format != IOAS_FORMAT_NONE && attr->format != IOAS_FORMAT_VTDSS_L4)
		return diag_fail(be->base.diag, -EOPNOTSUPP,
				 "soft: format %d: KERNEL spaces have VTDSS_L4", attr->format);
	ret = pt_create(IOAS_FORMAT_VTDSS_L4, &be->pt_mem, &space->pt);
	if (ret)
		return diag_fail(be->base.diag, ret, "soft: no memory for a table");
	ret = domain_new(be, &space->context.domain);
	if (ret) {
		pt_destroy(space->pt);
		return ret;
	}
	space->context.kind = SOFT_SECOND_STAGE;
	space->context.root = pt_root(space->pt);
	pthread_mutex_init(&space->lock, NULL);
	return 0;
}

static int create_user(struct soft_be *be, struct soft_space *space,
		       const struct be_space_attr *attr)
{
	struct soft_space *parent = attr->parent ? soft_to_space(attr->parent) : NULL;
	int ret;

	if (attr->format != IOAS_FORMAT_X86_64_L4 && attr->format != IOAS_FORMAT_X86_64_L5)
		return diag_fail(be->base.diag, -EOPNOTSUPP,
				 "soft: format %d: USER spaces have X86_64_L4 or X86_64_L5",
				 attr->format);
	if (!parent || !parent->pt)
		return diag_fail(be->base.diag, -EINVAL,
				 "soft: a USER space needs a KERNEL space as its parent");
	if (attr->root & (IOAS_PAGE_SIZE - 1))
		return diag_fail(be->base.diag, -EINVAL, "soft: root 0x%" PRIx64 " is not aligned",
				 attr->root);
	ret = domain_new(be, &space->context.domain);
	if (ret)
		return ret;
	space->context.kind = SOFT_NESTED;
	space->context.levels = attr->format == IOAS_FORMAT_X86_64_L5 ? 5 : 4;
	space->context.root = attr->root;
	space->context.parent_domain = parent->context.domain;
	space->context.parent_root = parent->context.root;
	space->context.space = attr->page_requests ? space : NULL;
	space->parent = parent;
	pthread_mutex_lock(&parent->lock);
	space->next_child = parent->children;
	parent->children = space;
	pthread_mutex_unlock(&parent->lock);
	return 0;
}

int soft_space_create(struct be *base, const struct be_space_attr *attr, struct be_space **out)
{
	struct soft_be *be = soft_to_be(base);
	struct soft_space *space = calloc(1, sizeof(*space));
	int ret = 0;

	if (!space)
		return diag_fail(base->diag, -ENOMEM, "soft: no memory");
	space->base.be = base;
	switch (attr->kind) {
	case IOAS_KIND_KERNEL:
		ret = create_kernel(be, space, attr);
		break;
	case IOAS_KIND_USER:
		ret = create_user(be, space, attr);
		break;
	case IOAS_KIND_PASSTHROUGH:
		space->context.kind = SOFT_PASSTHROUGH;
		break;
	default:
		ret = diag_fail(base->diag, -EOPNOTSUPP, "soft: no address spaces of kind %d",
				attr->kind);
	}
	if (ret) {
		free(space);
		return ret;
	}
	*out = &space->base;
	return 0;
}

void soft_space_destroy(struct be_space *base)
{
	struct soft_space *space = soft_to_space(base);
	struct soft_space *parent = space->parent;

	if (parent) {
		struct soft_space **link = &parent->children;

		pthread_mutex_lock(&parent->lock);
		while (*link != space)
			link = &(*link)->next_child;
		*link = space->next_child;
		pthread_mutex_unlock(&parent->lock);
	}
	if (space->pt) {
		pt_destroy(space->pt);
		pthread_mutex_destroy(&space->lock);
	}
	/* No unit holds anything of it: the last detach flushed. */
	if (space->context.domain)
		domain_free(soft_to_be(base->be), space->context.domain);
	free(space);
}

/* @unit is about to walk, or no longer walks, tables of @space and of its parent. */
static void unit_join(struct soft_space *space, unsigned int unit)
{
	for (; space; space = space->parent)
		if (!space->users[unit]++)
			atomic_fetch_or(&space->units, UINT64_C(1) << unit);
}

static int unit_leave(struct soft_be *be, struct soft_space *space, unsigned int unit)
{
	int ret = 0;

	for (; space; space = space->parent) {
		struct soft_desc desc = soft_desc_domain(space->context.domain);

		if (--space->users[unit] || space->context.kind == SOFT_PASSTHROUGH)
			continue;
		/* From here on invalidations pass this unit by: nothing may stay behind. */
		ret = soft_queue_submit(be->units[unit], &desc, 1) ?: ret;
		atomic_fetch_and(&space->units, ~(UINT64_C(1) << unit));
	}
	return ret;
}

static int switch_space(struct soft_dev *dev, struct soft_space *space)
{
	static const struct soft_context blocked = { .kind = SOFT_BLOCKED };
	struct soft_space *old = dev->space;

	if (space)
		unit_join(space, dev->unit);
	soft_endpoint_set(&dev->endpoint, space ? &space->context : &blocked);
	dev->space = space;
	soft_requests_move(&soft_to_be(dev->base.be)->requests, dev);
	return old ? unit_leave(soft_to_be(dev->base.be), old, dev->unit) : 0;
}

int soft_attach(struct be_space *space, struct be_dev *dev)
{
	return switch_space((struct soft_dev *)dev, soft_to_space(space));
}

int soft_detach(struct be_dev *dev)
{
	return switch_space((struct soft_dev *)dev, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices: taken from the backend, attached to one address space at a time. */
#include "objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct ioas_dev *dev_new(struct ioas_ctx *ctx, const char *name)
{
	struct ioas_dev *dev = calloc(1, sizeof(*dev) + strlen(name) + 1);

	if (!dev) {
		diag_fail(&ctx->diag, -ENOMEM, "no memory for a device");
		return NULL;
	}
	dev->ctx = ctx;
	strcpy(dev->name, name);
	return dev;
}

/* The backend has it. Under admin. */
static void dev_enter(struct ioas_dev *dev)
{
	struct ioas_ctx *ctx = dev->ctx;

	dev->be_dev->owner = dev;
	cds_list_add_tail(&dev->entry, &ctx->devices);
	ctx->device_count++;
}

int ioas_dev_bind(struct ioas_ctx *ctx, const char *name, struct ioas_dev **out)
{
	struct ioas_dev *dev;
	int ret;

	if (!name || !*name)
		return diag_fail(&ctx->diag, -EINVAL, "device name is empty");
	dev = dev_new(ctx, name);
	if (!dev)
		return -ENOMEM;
	pthread_mutex_lock(&ctx->admin);
	pthread_mutex_lock(&ctx->lock);
	ret = ctx->be->ops->dev_bind(ctx->be, name, &dev->be_dev);
	if (!ret) /* what devices can do together narrows with each */
		ctx->be->ops->caps(ctx->be, &ctx->caps);
	pthread_mutex_unlock(&ctx->lock);
	if (!ret)
		dev_enter(dev);
	pthread_mutex_unlock(&ctx->admin);
	if (ret) {
		free(dev);
		return ret;
	}
	*out = dev;
	return 0;
}

int dev_restore(struct ioas_ctx *ctx, const char *name, const struct be_saved *saved,
		struct ioas *as)
{
	struct ioas_dev *dev = dev_new(ctx, name);
	int ret;

	if (!dev)
		return -ENOMEM;
	ret = ctx->be->ops->handover->restore_dev(ctx->be, name, saved, as ? as->be_space : NULL,
						  &dev->be_dev);
	if (ret) {
		free(dev);
		return ret;
	}
	ctx->be->ops->caps(ctx->be, &ctx->caps);
	dev_enter(dev);
	dev->as = as;
	if (as)
		as->devices++;
	return 0;
}

/* Under admin. Nobody names it any more. */
void dev_forget(struct ioas_dev *dev)
{
	struct ioas_ctx *ctx = dev->ctx;

	pthread_mutex_lock(&ctx->lock);
	ctx->be->ops->dev_unbind(dev->be_dev);
	pthread_mutex_unlock(&ctx->lock);
	cds_list_del(&dev->entry);
	ctx->device_count--;
	free(dev);
}

int ioas_dev_unbind(struct ioas_dev *dev)
{
	struct ioas_ctx *ctx = dev->ctx;

	pthread_mutex_lock(&ctx->admin);
	if (dev->as) {
		pthread_mutex_unlock(&ctx->admin);
		return diag_fail(&ctx->diag, -EBUSY, "device \"%s\" is attached: ioas_detach()",
				 dev->name);
	}
	pthread_mutex_unlock(&ctx->admin);
	requests_wait(ctx, NULL, dev);
	pthread_mutex_lock(&ctx->admin);
	/* Faults that are read from now on must not name it. */
	faults_forget(ctx, dev);
	dev_forget(dev);
	pthread_mutex_unlock(&ctx->admin);
	return 0;
}

const char *ioas_dev_name(const struct ioas_dev *dev)
{
	return dev->name;
}

int ioas_attach(struct ioas *as, struct ioas_dev *dev)
{
	struct ioas_ctx *ctx = as->ctx;
	int ret;

	if (dev->ctx != ctx)
		return diag_fail(&ctx->diag, -EXDEV,
				 "device \"%s\" and the address space are of different contexts",
				 dev->name);
	if (!(ioas_kind_ops(as->kind) & IOAS_OP_ATTACH))
		return diag_fail(&ctx->diag, -EOPNOTSUPP, "kind %s allows no devices",
				 ioas_kind_name(as->kind));
	pthread_mutex_lock(&ctx->admin);
	pthread_mutex_lock(&ctx->lock);
	ret = ctx->be->ops->attach(as->be_space, dev->be_dev);
	pthread_mutex_unlock(&ctx->lock);
	if (!ret) {
		if (dev->as)
			dev->as->devices--;
		as->devices++;
		dev->as = as;
	}
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

int ioas_detach(struct ioas_dev *dev)
{
	struct ioas_ctx *ctx = dev->ctx;
	int ret;

	pthread_mutex_lock(&ctx->admin);
	if (!dev->as) {
		pthread_mutex_unlock(&ctx->admin);
		return diag_fail(&ctx->diag, -ENOENT, "device \"%s\" is not attached", dev->name);
	}
	pthread_mutex_lock(&ctx->lock);
	ret = ctx->be->ops->detach(dev->be_dev);
	pthread_mutex_unlock(&ctx->lock);
	if (!ret) {
		dev->as->devices--;
		dev->as = NULL;
	}
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices: taken from the backend, attached to one address space at a time. */
#include "objects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ioas_dev_bind(struct ioas_ctx *ctx, const char *name, struct ioas_dev **out)
{
	struct ioas_dev *dev;
	int ret;

	if (!name || !*name)
		return diag_fail(&ctx->diag, -EINVAL, "device name is empty");
	dev = calloc(1, sizeof(*dev) + strlen(name) + 1);
	if (!dev)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for a device");
	dev->ctx = ctx;
	strcpy(dev->name, name);
	pthread_mutex_lock(&ctx->admin);
	pthread_mutex_lock(&ctx->lock);
	ret = ctx->be->ops->dev_bind(ctx->be, name, &dev->be_dev);
	if (!ret) /* what devices can do together narrows with each */
		ctx->be->ops->caps(ctx->be, &ctx->caps);
	pthread_mutex_unlock(&ctx->lock);
	if (!ret) {
		dev->be_dev->owner = dev;
		ctx->device_count++;
	}
	pthread_mutex_unlock(&ctx->admin);
	if (ret) {
		free(dev);
		return ret;
	}
	*out = dev;
	return 0;
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
	pthread_mutex_lock(&ctx->lock);
	ctx->be->ops->dev_unbind(dev->be_dev);
	pthread_mutex_unlock(&ctx->lock);
	ctx->device_count--;
	pthread_mutex_unlock(&ctx->admin);
	free(dev);
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

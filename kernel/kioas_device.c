// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices: the PCI driver that takes them, their files /dev/kioas/NAME, and what a file that has
 * bound one may do with it.
 *
 * The driver does no DMA and needs no interrupt. It does not request the device's regions: the
 * kernel would refuse to map them for user space through sysfs then.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kioas.h"

static void kioas_device_free(struct kref *ref)
{
	struct kioas_device *device = container_of(ref, struct kioas_device, ref);

	pci_dev_put(device->pdev);
	mutex_destroy(&device->lock);
	kfree(device->node.nodename);
	kfree(device->node.name);
	kfree(device);
}

static void kioas_device_put(struct kioas_device *device)
{
	kref_put(&device->ref, kioas_device_free);
}

/* The device's file: whoever may open it may bind the device */

static int kioas_device_open(struct inode *inode, struct file *filp)
{
	struct kioas_device *device = container_of(filp->private_data, struct kioas_device, node);

	kref_get(&device->ref);
	filp->private_data = device;
	return 0;
}

static int kioas_device_release(struct inode *inode, struct file *filp)
{
	kioas_device_put(filp->private_data);
	return 0;
}

static const struct file_operations kioas_device_fops = {
	.owner = THIS_MODULE,
	.open = kioas_device_open,
	.release = kioas_device_release,
	.llseek = noop_llseek,
};

/* Counted. */
static struct kioas_device *kioas_device_from_fd(struct kioas_call *call, int fd)
{
	struct kioas_device *device = NULL;
	struct file *filp = fget(fd);

	if (!filp)
		return ERR_PTR(kioas_fail(call, -ENOENT, "device_fd", "%d is no open file", fd));
	if (filp->f_op == &kioas_device_fops && filp->f_mode & FMODE_WRITE) {
		device = filp->private_data;
		kref_get(&device->ref);
	}
	fput(filp);
	if (!device)
		return ERR_PTR(kioas_fail(call, -EINVAL, "device_fd",
					  "%d is no file of /dev/kioas, open for writing", fd));
	return device;
}

/* Taking a device, and giving it back */

static void kioas_device_stop(struct kioas_device *device)
{
	pci_clear_master(device->pdev);
	pci_wait_for_pending_transaction(device->pdev);
}

/* Return: 0, -ENOTTY if it cannot be reset by itself, or another errno */
static int kioas_device_reset(struct kioas_bound *bound, bool locked)
{
	struct pci_dev *pdev = bound->device->pdev;

	if (!pdev->reset_methods[0])
		return -ENOTTY;
	if (!locked)
		return pci_try_reset_function(pdev);
	return __pci_reset_function_locked(pdev);
}

/* The device as it was when it was bound, and stopped: a reset loses its configuration. */
static void kioas_device_restore(struct kioas_bound *bound)
{
	struct pci_dev *pdev = bound->device->pdev;

	if (!pci_load_and_free_saved_state(pdev, &bound->saved))
		pci_restore_state(pdev);
	pci_clear_master(pdev);
}

static int kioas_bound_take(struct kioas_call *call, struct kioas_bound *bound)
{
	struct kioas_device *device = bound->device;
	struct pci_dev *pdev = device->pdev;
	int ret = 0;

	mutex_lock(&device->lock);
	if (device->gone)
		ret = kioas_fail(call, -ENODEV, "device_fd", "the device was removed");
	else if (device->file)
		ret = kioas_fail(call, -EBUSY, "device_fd", "%s is bound already", pci_name(pdev));
	else
		device->file = call->file;
	mutex_unlock(&device->lock);
	return ret;
}

static void kioas_bound_give(struct kioas_bound *bound)
{
	mutex_lock(&bound->device->lock);
	bound->device->file = NULL;
	mutex_unlock(&bound->device->lock);
}

static int kioas_bound_start(struct kioas_call *call, struct kioas_bound *bound)
{
	struct pci_dev *pdev = bound->device->pdev;
	int ret;

	bound->group = kioas_group_get(call, &pdev->dev);
	if (IS_ERR(bound->group))
		return PTR_ERR(bound->group);
	ret = pci_enable_device(pdev);
	if (ret) {
		kioas_group_put(bound->group);
		return kioas_fail(call, -EIO, "device_fd", "%s cannot be enabled (%d)",
				  pci_name(pdev), ret);
	}
	kioas_device_stop(bound->device);
	pci_save_state(pdev);
	bound->saved = pci_store_saved_state(pdev);
	if (bound->saved)
		return 0;
	pci_disable_device(pdev);
	kioas_group_put(bound->group);
	return -ENOMEM;
}

static void kioas_bound_list(struct kioas_bound *bound)
{
	struct kioas_file *file = bound->file;

	list_add_tail(&bound->entry, &file->bound);
	spin_lock_irq(&file->events.lock);
	list_add_tail(&bound->event_entry, &file->events.bound);
	spin_unlock_irq(&file->events.lock);
}

static void kioas_bound_unlist(struct kioas_bound *bound)
{
	struct kioas_file *file = bound->file;

	list_del(&bound->entry);
	spin_lock_irq(&file->events.lock);
	list_del(&bound->event_entry);
	spin_unlock_irq(&file->events.lock);
}

static void kioas_bound_detach(struct kioas_bound *bound)
{
	kioas_device_stop(bound->device);
	bound->attached = false;
	if (!--bound->group->attached)
		kioas_space_detach(bound->group);
}

void kioas_bound_revoke(struct kioas_bound *bound, bool removed)
{
	const struct ioasid_event_record record = { .event = IOASID_EVENT_DEVICE_GONE };
	struct kioas_device *device = bound->device;

	if (removed)
		kioas_event(bound->file, &device->pdev->dev, &record);
	kioas_device_stop(device);
	if (bound->attached)
		kioas_bound_detach(bound);
	kioas_device_reset(bound, removed);
	kioas_device_restore(bound);
	pci_disable_device(device->pdev);
	kioas_bound_unlist(bound);
	kioas_object_erase(bound->file, &bound->object);
	kioas_group_put(bound->group);
	kioas_bound_give(bound);
	kioas_device_put(device);
	kfree(bound);
}

static void kioas_bound_stop(struct kioas_bound *bound)
{
	pci_disable_device(bound->device->pdev);
	kfree(bound->saved);
	kioas_group_put(bound->group);
}

static int kioas_bound_init(struct kioas_call *call, struct kioas_bound *bound,
			    struct ioasid_bind_device *command)
{
	int ret = kioas_bound_take(call, bound);

	if (ret)
		return ret;
	ret = kioas_object_init(call->file, &bound->object, KIOAS_OBJECT_BOUND);
	if (ret)
		goto out_give;
	ret = kioas_bound_start(call, bound);
	if (ret)
		goto out_erase;
	command->out_dev_id = bound->object.id;
	ret = kioas_answer(call, command);
	if (ret)
		goto out_stop;
	kioas_bound_list(bound);
	kioas_object_publish(call->file, &bound->object);
	return 0;

out_stop:
	kioas_bound_stop(bound);
out_erase:
	kioas_object_erase(call->file, &bound->object);
out_give:
	kioas_bound_give(bound);
	return ret;
}

int kioas_bind_device(struct kioas_call *call, void *data)
{
	struct ioasid_bind_device *command = data;
	struct kioas_bound *bound;
	int ret;

	if (command->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	bound = kzalloc(sizeof(*bound), GFP_KERNEL_ACCOUNT);
	if (!bound)
		return -ENOMEM;
	bound->file = call->file;
	bound->cookie = command->cookie;
	bound->device = kioas_device_from_fd(call, command->device_fd);
	if (IS_ERR(bound->device)) {
		ret = PTR_ERR(bound->device);
		kfree(bound);
		return ret;
	}
	mutex_lock(&call->file->lock);
	ret = kioas_bound_init(call, bound, command);
	mutex_unlock(&call->file->lock);
	if (ret) {
		kioas_device_put(bound->device);
		kfree(bound);
	}
	return ret;
}

int kioas_bound_get(struct kioas_call *call, u32 id, struct kioas_bound **bound)
{
	struct kioas_object *object = kioas_object_find(call->file, id, KIOAS_OBJECT_BOUND);

	if (!object)
		return kioas_fail(call, -ENOENT, "dev_id", "%u is no bound device of this file",
				  id);
	*bound = container_of(object, struct kioas_bound, object);
	return 0;
}

int kioas_unbind_device(struct kioas_call *call, void *data)
{
	struct ioasid_unbind_device *command = data;
	struct kioas_bound *bound;
	int ret;

	mutex_lock(&call->file->lock);
	ret = kioas_bound_get(call, command->dev_id, &bound);
	if (!ret && bound->attached)
		ret = kioas_fail(call, -EBUSY, "dev_id", "%s is attached to space %u",
				 pci_name(bound->device->pdev), bound->group->space->object.id);
	if (!ret)
		kioas_bound_revoke(bound, false);
	mutex_unlock(&call->file->lock);
	return ret;
}

/* What a bound device can do */

static void kioas_device_describe(struct kioas_bound *bound, struct ioasid_device_info *info)
{
	const struct kioas_kind_ops *user = kioas_kind(IOASID_KIND_USER);

	info->out_cookie = bound->cookie;
	info->out_caps = 0;
	if (bound->group->coherent)
		info->out_caps |= IOASID_DEVICE_CAP_COHERENT;
	if (bound->device->pdev->reset_methods[0])
		info->out_caps |= IOASID_DEVICE_CAP_RESET;
	info->out_page_sizes = bound->group->page_sizes;
	info->out_user_formats = 0;
	info->out_shadow_formats = user ? user->formats : 0;
	info->out_group = iommu_group_id(bound->group->iommu_group);
	info->out_pasid_bits = 0;
}

int kioas_device_get_info(struct kioas_call *call, void *data)
{
	struct ioasid_device_info *info = data;
	struct ioasid_range __user *to = u64_to_user_ptr(info->ranges_uptr);
	const u32 room = info->range_count;
	struct kioas_bound *bound;
	int ret;

	if (info->flags || info->__reserved)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "flags and reserved fields are 0");
	mutex_lock(&call->file->lock);
	ret = kioas_bound_get(call, info->dev_id, &bound);
	if (ret)
		goto out_unlock;
	kioas_device_describe(bound, info);
	info->range_count = bound->group->range_count;
	if (copy_to_user(to, bound->group->ranges, min(room, info->range_count) * sizeof(*to)))
		ret = kioas_fail(call, -EFAULT, "ranges", "the array cannot be written");
	else if (room < info->range_count)
		ret = kioas_fail(call, -EMSGSIZE, "range_count", "there are %u ranges",
				 info->range_count);
out_unlock:
	mutex_unlock(&call->file->lock);
	return ret;
}

static int kioas_bound_control(struct kioas_call *call, struct kioas_bound *bound, u32 op)
{
	struct pci_dev *pdev = bound->device->pdev;
	int ret;

	switch (op) {
	case IOASID_DEVICE_MASTER_ON:
		if (!bound->attached)
			return kioas_fail(call, -EINVAL, "op", "%s is not attached",
					  pci_name(pdev));
		pci_set_master(pdev);
		return 0;
	case IOASID_DEVICE_MASTER_OFF:
		kioas_device_stop(bound->device);
		return 0;
	case IOASID_DEVICE_RESET:
		kioas_device_stop(bound->device);
		ret = kioas_device_reset(bound, false);
		if (!ret)
			return 0;
		if (ret == -EAGAIN)
			return kioas_fail(call, -EBUSY, "op", "%s is being changed elsewhere",
					  pci_name(pdev));
		return kioas_fail(call, -EOPNOTSUPP, "op", "%s cannot be reset by itself",
				  pci_name(pdev));
	default:
		return kioas_fail(call, -EOPNOTSUPP, "op", "unknown operation %u", op);
	}
}

int kioas_device_control(struct kioas_call *call, void *data)
{
	struct ioasid_device_control *command = data;
	struct kioas_bound *bound;
	int ret;

	if (command->flags)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", command->flags);
	mutex_lock(&call->file->lock);
	ret = kioas_bound_get(call, command->dev_id, &bound);
	if (!ret)
		ret = kioas_bound_control(call, bound, command->op);
	mutex_unlock(&call->file->lock);
	return ret;
}

/* Attaching and detaching */

static int kioas_attach_check(struct kioas_call *call, u32 flags, u32 pasid)
{
	if (flags & ~IOASID_ATTACH_PASID)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "unknown flags 0x%x", flags);
	if (flags & IOASID_ATTACH_PASID)
		return kioas_fail(call, -EOPNOTSUPP, "flags", "PASIDs cannot be attached");
	if (pasid)
		return kioas_fail(call, -EINVAL, "pasid", "%u without IOASID_ATTACH_PASID", pasid);
	return 0;
}

static int kioas_bound_attach(struct kioas_call *call, struct kioas_bound *bound, u32 ioasid)
{
	struct kioas_group *group = bound->group;
	struct kioas_space *space;
	int ret;

	ret = kioas_space_get(call, ioasid, IOASID_OP_ATTACH, &space);
	if (ret)
		return ret;
	if (group->space != space) {
		if (group->attached > bound->attached)
			ret = kioas_fail(call, -EBUSY, "dev_id",
					 "other devices of its group are attached to space %u",
					 group->space->object.id);
		if (!ret)
			ret = kioas_space_make_domain(call, space, bound);
		if (!ret)
			ret = kioas_space_attach(call, space, group);
	}
	if (!ret && !bound->attached) {
		bound->attached = true;
		group->attached++;
	}
	kioas_space_put(space);
	return ret;
}

int kioas_attach(struct kioas_call *call, void *data)
{
	struct ioasid_attach *command = data;
	struct kioas_bound *bound;
	int ret;

	ret = kioas_attach_check(call, command->flags, command->pasid);
	if (ret)
		return ret;
	if (command->__reserved)
		return kioas_fail(call, -EINVAL, "__reserved", "must be 0");
	mutex_lock(&call->file->lock);
	ret = kioas_bound_get(call, command->dev_id, &bound);
	if (!ret)
		ret = kioas_bound_attach(call, bound, command->ioasid);
	mutex_unlock(&call->file->lock);
	return ret;
}

int kioas_detach(struct kioas_call *call, void *data)
{
	struct ioasid_detach *command = data;
	struct kioas_bound *bound;
	int ret;

	ret = kioas_attach_check(call, command->flags, command->pasid);
	if (ret)
		return ret;
	mutex_lock(&call->file->lock);
	ret = kioas_bound_get(call, command->dev_id, &bound);
	if (!ret && !bound->attached)
		ret = kioas_fail(call, -ENOENT, "dev_id", "%s is not attached",
				 pci_name(bound->device->pdev));
	if (!ret)
		kioas_bound_detach(bound);
	mutex_unlock(&call->file->lock);
	return ret;
}

/* The driver */

static int kioas_node_init(struct kioas_device *device)
{
	const char *name = pci_name(device->pdev);

	device->node.minor = MISC_DYNAMIC_MINOR;
	device->node.fops = &kioas_device_fops;
	device->node.mode = 0600;
	device->node.parent = &device->pdev->dev;
	device->node.name = kasprintf(GFP_KERNEL, "kioas-%s", name);
	device->node.nodename = kasprintf(GFP_KERNEL, "kioas/%s", name);
	return device->node.name && device->node.nodename ? 0 : -ENOMEM;
}

static int kioas_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	struct kioas_device *device;
	int ret;

	if (!group) {
		pci_err(pdev, "there is no IOMMU before this device\n");
		return -ENODEV;
	}
	iommu_group_put(group);
	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return -ENOMEM;
	kref_init(&device->ref);
	mutex_init(&device->lock);
	device->pdev = pci_dev_get(pdev);
	ret = kioas_node_init(device);
	if (!ret)
		ret = misc_register(&device->node);
	if (ret) {
		kioas_device_put(device);
		return ret;
	}
	pci_set_drvdata(pdev, device);
	return 0;
}

/* The device goes whether it is in use or not; its file's owner reads so in an event. */
static void kioas_remove(struct pci_dev *pdev)
{
	struct kioas_device *device = pci_get_drvdata(pdev);
	struct kioas_bound *bound, *next;
	struct kioas_file *file;

	misc_deregister(&device->node);
	mutex_lock(&device->lock);
	device->gone = true;
	file = device->file;
	if (file)
		kref_get(&file->ref);
	mutex_unlock(&device->lock);
	if (file) {
		mutex_lock(&file->lock);
		list_for_each_entry_safe(bound, next, &file->bound, entry)
			if (bound->device == device)
				kioas_bound_revoke(bound, true);
		mutex_unlock(&file->lock);
		kioas_file_put(file);
	}
	kioas_device_put(device);
}

struct pci_driver kioas_pci_driver = {
	.name = KIOAS_NAME,
	.id_table = NULL, /* devices come by driver_override or new_id */
	.probe = kioas_probe,
	.remove = kioas_remove,
	.driver_managed_dma = true,
};

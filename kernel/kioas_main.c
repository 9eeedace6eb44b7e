// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module: its character device and the table of its calls. A call's structure is copied in
 * once, filled up with zeros, and copied out if the call succeeds or says so.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "kioas.h"

union kioas_command {
	struct ioasid_check_extension check_extension;
	struct ioasid_kind_info kind_info;
	struct ioasid_bind_device bind_device;
	struct ioasid_unbind_device unbind_device;
	struct ioasid_device_info device_info;
	struct ioasid_device_control device_control;
	struct ioasid_alloc alloc;
	struct ioasid_free free;
	struct ioasid_attach attach;
	struct ioasid_detach detach;
	struct ioasid_memory memory;
	struct ioasid_map_dma map_dma;
	struct ioasid_unmap_dma unmap_dma;
	struct ioasid_invalidate_cache invalidate_cache;
	struct ioasid_lookup lookup;
	struct ioasid_last_error last_error;
	struct ioasid_set_dirty_tracking set_dirty_tracking;
	struct ioasid_get_dirty_bitmap get_dirty_bitmap;
	struct ioasid_ring_setup ring_setup;
	struct ioasid_ring_enter ring_enter;
};

/**
 * struct kioas_command_entry - a call
 * @run: NULL: it is not built yet
 * @size: of its structure, as the kernel knows it
 * @min_size: shortest that can be meant
 * @answers: has fields that are written
 */
struct kioas_command_entry {
	int (*run)(struct kioas_call *call, void *command);
	size_t size;
	size_t min_size;
	bool answers;
};

#define COMMAND(call, function, structure, last, writes)                                           \
	[_IOC_NR(call) - IOASID_BASE] = {                                                          \
		.run = function,                                                                   \
		.size = sizeof(struct structure) +                                                 \
			BUILD_BUG_ON_ZERO(sizeof(struct structure) > sizeof(union kioas_command)), \
		.min_size = offsetofend(struct structure, last),                                   \
		.answers = writes,                                                                 \
	}

/* A call that does something, and one that says something, too */
#define DOES(call, function, structure, last) COMMAND(call, function, structure, last, false)
#define SAYS(call, function, structure, last) COMMAND(call, function, structure, last, true)

static const struct kioas_command_entry kioas_commands[] = {
	SAYS(IOASID_CHECK_EXTENSION, kioas_check_extension, ioasid_check_extension, out_value),
	SAYS(IOASID_KIND_GET_INFO, kioas_kind_get_info, ioasid_kind_info, __reserved),
	SAYS(IOASID_BIND_DEVICE, kioas_bind_device, ioasid_bind_device, cookie),
	DOES(IOASID_UNBIND_DEVICE, kioas_unbind_device, ioasid_unbind_device, dev_id),
	SAYS(IOASID_DEVICE_GET_INFO, kioas_device_get_info, ioasid_device_info, __reserved),
	DOES(IOASID_DEVICE_CONTROL, kioas_device_control, ioasid_device_control, flags),
	SAYS(IOASID_ALLOC, kioas_alloc, ioasid_alloc, out_ioasid),
	DOES(IOASID_FREE, kioas_free, ioasid_free, ioasid),
	DOES(IOASID_ATTACH, kioas_attach, ioasid_attach, __reserved),
	DOES(IOASID_DETACH, kioas_detach, ioasid_detach, pasid),
	DOES(IOASID_REGISTER_MEMORY, kioas_register_memory, ioasid_memory, length),
	DOES(IOASID_UNREGISTER_MEMORY, kioas_unregister_memory, ioasid_memory, length),
	DOES(IOASID_MAP_DMA, kioas_map_dma, ioasid_map_dma, entry_size),
	SAYS(IOASID_UNMAP_DMA, kioas_unmap_dma, ioasid_unmap_dma, out_bytes),
	DOES(IOASID_INVALIDATE_CACHE, kioas_invalidate_cache, ioasid_invalidate_cache, entry_size),
	SAYS(IOASID_LOOKUP, kioas_lookup, ioasid_lookup, out_prot),
	SAYS(IOASID_LAST_ERROR, kioas_last_error, ioasid_last_error, out_text),
	DOES(IOASID_SET_DIRTY_TRACKING, NULL, ioasid_set_dirty_tracking, __reserved),
	DOES(IOASID_GET_DIRTY_BITMAP, NULL, ioasid_get_dirty_bitmap, bitmap_uptr),
	SAYS(IOASID_RING_SETUP, kioas_ring_setup, ioasid_ring_setup, out_length),
	SAYS(IOASID_RING_ENTER, kioas_ring_enter, ioasid_ring_enter, __reserved),
};

static int kioas_check_size(struct kioas_call *call, const struct kioas_command_entry *entry,
			    u32 size)
{
	if (size < entry->min_size)
		return kioas_fail(call, -EINVAL, "size", "%u bytes: at least %zu are needed", size,
				  entry->min_size);
	if (size > PAGE_SIZE)
		return kioas_fail(call, -E2BIG, "size", "%u bytes are more than a page", size);
	return 0;
}

/* All but the size, which was read twice: what the caller wrote there must stay. */
int kioas_answer(struct kioas_call *call, const void *command)
{
	call->answered = true;
	if (copy_to_user(call->user + sizeof(u32), command + sizeof(u32),
			 call->user_size - sizeof(u32)))
		return kioas_fail(call, -EFAULT, "", "the structure cannot be written");
	return 0;
}

/* These come with something that the caller wants to know. */
static bool kioas_error_answers(int error)
{
	return error == -EMSGSIZE || error == -EINTR;
}

static int kioas_run(struct kioas_call *call, const struct kioas_command_entry *entry)
{
	union kioas_command command;
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)call->user))
		return -EFAULT;
	ret = kioas_check_size(call, entry, size);
	if (ret)
		return ret;
	call->user_size = min_t(size_t, size, entry->size);
	ret = copy_struct_from_user(&command, entry->size, call->user, size);
	if (ret == -E2BIG)
		return kioas_fail(call, ret, "size", "something behind byte %zu is not zero",
				  entry->size);
	if (ret)
		return ret;
	if (!entry->run)
		return kioas_fail(call, -EOPNOTSUPP, "", "this call is not built yet");
	ret = entry->run(call, &command);
	if ((ret && !kioas_error_answers(ret)) || !entry->answers || call->answered)
		return ret;
	return kioas_answer(call, &command) ?: ret;
}

static long kioas_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	const unsigned int nr = _IOC_NR(number) - IOASID_BASE;
	struct kioas_call call = {
		.file = file->private_data,
		.user = (void __user *)argument,
	};
	int ret;

	if (_IOC_TYPE(number) != IOASID_TYPE || _IOC_NR(number) < IOASID_BASE ||
	    nr >= ARRAY_SIZE(kioas_commands) || number != _IO(IOASID_TYPE, IOASID_BASE + nr))
		return -ENOTTY;
	ret = kioas_run(&call, &kioas_commands[nr]);
	if (ret && number != IOASID_LAST_ERROR)
		kioas_error_keep(&call, ret, nr);
	return ret;
}

int kioas_check_extension(struct kioas_call *call, void *data)
{
	struct ioasid_check_extension *command = data;

	switch (command->extension) {
	case IOASID_EXT_VERSION:
		command->out_value = 1;
		break;
	case IOASID_EXT_KINDS:
		command->out_value = kioas_kinds_mask();
		break;
	case IOASID_EXT_ARRAY_MAX:
		command->out_value = IOASID_ARRAY_MAX;
		break;
	case IOASID_EXT_FAULTS:
		command->out_value = BIT(IOASID_EVENT_FAULT) | BIT(IOASID_EVENT_TABLE) |
				     BIT(IOASID_EVENT_DEVICE_GONE) | BIT(IOASID_EVENT_SPACE_BROKEN);
		break;
	case IOASID_EXT_RING:
		command->out_value = IOASID_RING_ENTRIES_MAX;
		break;
	case IOASID_EXT_RING_POLL:
		command->out_value = 1;
		break;
	case IOASID_EXT_KVM:
		command->out_value = KIOAS_HAS_KVM;
		break;
	default:
		command->out_value = 0;
	}
	return 0;
}

static const struct file_operations kioas_fops = {
	.owner = THIS_MODULE,
	.open = kioas_file_open,
	.release = kioas_file_release,
	.read = kioas_event_read,
	.write = kioas_event_write,
	.poll = kioas_event_poll,
	.mmap = kioas_ring_mmap,
	.unlocked_ioctl = kioas_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/*
 * Anybody may open it, as /dev/vfio/vfio: what it can do is up to the devices' files and
 * RLIMIT_MEMLOCK.
 */
static struct miscdevice kioas_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ioasid",
	.fops = &kioas_fops,
	.mode = 0666,
};

static int __init kioas_init(void)
{
	int ret = misc_register(&kioas_misc);

	if (ret)
		return ret;
	ret = pci_register_driver(&kioas_pci_driver);
	if (ret)
		misc_deregister(&kioas_misc);
	return ret;
}
module_init(kioas_init);

static void __exit kioas_exit(void)
{
	pci_unregister_driver(&kioas_pci_driver);
	misc_deregister(&kioas_misc);
}
module_exit(kioas_exit);

MODULE_DESCRIPTION("I/O address spaces for drivers in user space: /dev/ioasid");
MODULE_AUTHOR("The libioas authors");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * An open /dev/ioasid: the numbers of its objects, and the failures of its calls.
 *
 * Numbers are the file's own. An object that is being made has its number reserved, with nothing
 * behind it, so that nobody finds it half made.
 */
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kioas.h"

/* Failures */

int kioas_fail(struct kioas_call *call, int error, const char *field, const char *format, ...)
{
	va_list arguments;

	call->field = field;
	va_start(arguments, format);
	vscnprintf(call->text, sizeof(call->text), format, arguments);
	va_end(arguments);
	return error;
}

static const char *kioas_error_text(int error)
{
	switch (error) {
	case -EFAULT:
		return "memory of the caller cannot be accessed";
	case -ENOMEM:
		return "the kernel has no memory left";
	case -EINTR:
		return "a signal came";
	default:
		return "";
	}
}

/* The thread's own place, else the oldest one. */
static struct kioas_error *kioas_error_place(struct kioas_file *file, pid_t thread)
{
	struct kioas_error *place = &file->errors[0];
	unsigned int i;

	for (i = 0; i < KIOAS_ERRORS; i++) {
		if (file->errors[i].thread == thread)
			return &file->errors[i];
		if (file->errors[i].when < place->when)
			place = &file->errors[i];
	}
	return place;
}

void kioas_error_keep(struct kioas_call *call, int error, unsigned int number)
{
	const pid_t thread = task_pid_nr(call->owner ?: current);
	struct kioas_file *file = call->file;
	struct kioas_error *place;

	spin_lock(&file->errors_lock);
	place = kioas_error_place(file, thread);
	place->when = ++file->errors_when;
	place->thread = thread;
	place->error = -error;
	place->call = number;
	place->index = call->field ? call->index : 0;
	strscpy_pad(place->field, call->field ?: "", sizeof(place->field));
	strscpy_pad(place->text, call->field ? call->text : kioas_error_text(error),
		    sizeof(place->text));
	spin_unlock(&file->errors_lock);
}

int kioas_last_error(struct kioas_call *call, void *data)
{
	const pid_t thread = task_pid_nr(current);
	struct ioasid_last_error *command = data;
	struct kioas_file *file = call->file;
	struct kioas_error *place;
	int ret = -ENOENT;

	if (command->flags)
		return -EINVAL;
	spin_lock(&file->errors_lock);
	place = kioas_error_place(file, thread);
	if (place->when && place->thread == thread) {
		command->out_errno = place->error;
		command->out_call = place->call;
		command->out_index = place->index;
		memcpy(command->out_field, place->field, sizeof(command->out_field));
		memcpy(command->out_text, place->text, sizeof(command->out_text));
		ret = 0;
	}
	spin_unlock(&file->errors_lock);
	return ret;
}

int kioas_array_copy(struct kioas_call *call, void *to, size_t size, u64 from, u32 count,
		     u32 user_size)
{
	void __user *user = u64_to_user_ptr(from);
	u32 i;
	int ret;

	if (user_size == size)
		return copy_from_user(to, user, size * count) ? -EFAULT : 0;
	if (user_size < size)
		return kioas_fail(call, -EINVAL, "entry_size", "%u bytes: at least %zu are needed",
				  user_size, size);
	if (user_size > PAGE_SIZE)
		return kioas_fail(call, -E2BIG, "entry_size", "%u bytes are more than a page",
				  user_size);
	for (i = 0; i < count; i++) {
		ret = copy_struct_from_user(to + i * size, size, user + (size_t)i * user_size,
					    user_size);
		if (ret == -E2BIG) {
			call->index = i;
			return kioas_fail(call, ret, "entry_size",
					  "something behind byte %zu is not zero", size);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* Numbers */

int kioas_object_init(struct kioas_file *file, struct kioas_object *object,
		      enum kioas_object_type type)
{
	object->type = type;
	return xa_alloc(&file->objects, &object->id, NULL, XA_LIMIT(1, INT_MAX),
			GFP_KERNEL_ACCOUNT);
}

void kioas_object_publish(struct kioas_file *file, struct kioas_object *object)
{
	/* The place is reserved: no memory is needed. */
	xa_store(&file->objects, object->id, object, GFP_KERNEL);
}

void kioas_object_erase(struct kioas_file *file, struct kioas_object *object)
{
	xa_erase(&file->objects, object->id);
}

struct kioas_object *kioas_object_find(struct kioas_file *file, u32 id, enum kioas_object_type type)
{
	struct kioas_object *object = xa_load(&file->objects, id);

	return object && object->type == type ? object : NULL;
}

/* Files */

static void kioas_file_free(struct kref *ref)
{
	struct kioas_file *file = container_of(ref, struct kioas_file, ref);

	kioas_events_destroy(&file->events);
	xa_destroy(&file->objects);
	mutex_destroy(&file->lock);
	kvfree(file->errors);
	kfree(file);
}

void kioas_file_put(struct kioas_file *file)
{
	kref_put(&file->ref, kioas_file_free);
}

int kioas_file_open(struct inode *inode, struct file *filp)
{
	struct kioas_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!file)
		return -ENOMEM;
	file->errors = kvcalloc(KIOAS_ERRORS, sizeof(*file->errors), GFP_KERNEL_ACCOUNT);
	ret = file->errors ? kioas_events_init(&file->events) : -ENOMEM;
	if (ret) {
		kvfree(file->errors);
		kfree(file);
		return ret;
	}
	kref_init(&file->ref);
	mutex_init(&file->lock);
	xa_init_flags(&file->objects, XA_FLAGS_ALLOC1);
	INIT_LIST_HEAD(&file->bound);
	INIT_LIST_HEAD(&file->groups);
	INIT_LIST_HEAD(&file->spaces);
	init_rwsem(&file->memory_lock);
	file->memory = RB_ROOT;
	spin_lock_init(&file->errors_lock);
	filp->private_data = file;
	return 0;
}

/* No call is under way; but a device may be removed. DMA ends before anything else. */
int kioas_file_release(struct inode *inode, struct file *filp)
{
	struct kioas_file *file = filp->private_data;
	struct kioas_space *space;

	mutex_lock(&file->lock);
	while (!list_empty(&file->bound))
		kioas_bound_revoke(list_first_entry(&file->bound, struct kioas_bound, entry),
				   false);
	kioas_ring_release(file);
	/* Children were made after their parents. */
	while (!list_empty(&file->spaces)) {
		space = list_last_entry(&file->spaces, struct kioas_space, entry);
		kioas_space_destroy(space);
	}
	kioas_memory_release(file);
	mutex_unlock(&file->lock);
	kioas_file_put(file);
	return 0;
}

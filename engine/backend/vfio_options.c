/* SPDX-License-Identifier: BSD-3-Clause */
/* "key=value,...", as ioas_ctx_opts.backend_options has it. See vfio.h. */
#include "vfio.h"

#include <errno.h>
#include <string.h>

bool vfio_parse_option(const char *text, size_t length, const char *key, int *number)
{
	size_t key_length = strlen(key);

	return length > key_length && !memcmp(text, key, key_length) &&
	       vfio_parse_number(text + key_length, length - key_length, number);
}

int vfio_parse_options(struct be *be, const char *options,
		       int (*one)(struct be *be, const char *text, size_t length))
{
	while (options && *options) {
		size_t length = strcspn(options, ",");
		int ret = one(be, options, length);

		if (ret)
			return ret;
		options += length;
		if (*options == ',' && !*++options)
			return diag_fail(be->diag, -EINVAL,
					 "%s: option missing after the last comma", be->ops->name);
	}
	return 0;
}

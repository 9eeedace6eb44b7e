/* SPDX-License-Identifier: BSD-3-Clause */
/* See settings.h. */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ioas_env.h"

/* Return: length of the value, or -1 when @part is not "@key=...". */
static int value_of(const char *part, size_t bytes, const char *key, const char **value)
{
	const size_t key_bytes = strlen(key);

	if (bytes <= key_bytes || strncmp(part, key, key_bytes) || part[key_bytes] != '=')
		return -1;
	*value = part + key_bytes + 1;
	return bytes - key_bytes - 1;
}

static int copy(char *to, size_t capacity, const char *from, size_t bytes, const char *key)
{
	if (bytes >= capacity) {
		SPDK_ERRLOG("ioas: %s: longer than %zu\n", key, capacity - 1);
		return -EINVAL;
	}
	memcpy(to, from, bytes);
	to[bytes] = '\0';
	return 0;
}

static void use_commas(char *text)
{
	while ((text = strchr(text, ';')))
		*text = ',';
}

int ioas_env_settings_read(const char *text, struct ioas_env_settings *settings)
{
	int ret = 0;

	memset(settings, 0, sizeof(*settings));
	while (!ret && text && *text) {
		const size_t bytes = strcspn(text, ",");
		const char *value;
		int length = value_of(text, bytes, "backend", &value);

		if (length >= 0) {
			ret = copy(settings->backend, sizeof(settings->backend), value, length,
				   "backend");
		} else if ((length = value_of(text, bytes, "options", &value)) >= 0) {
			ret = copy(settings->options, sizeof(settings->options), value, length,
				   "options");
			use_commas(settings->options);
		} else {
			SPDK_ERRLOG("ioas: '%.*s': want backend=NAME or options=TEXT\n", (int)bytes,
				    text);
			ret = -EINVAL;
		}
		text += bytes + (text[bytes] == ',');
	}
	return ret;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of the environment: "key=value,...", from spdk_env_opts.env_context, else from the
 * environment variable IOAS_SPDK.
 *
 *   backend=NAME     of libioas; "auto" if it is not given
 *   options=TEXT     of that backend: its "key=value,..." with ";" for ","
 */
#ifndef IOAS_ENV_SETTINGS_H
#define IOAS_ENV_SETTINGS_H

struct ioas_env_settings {
	char backend[16];
	char options[256];
};

/* @text: NULL for none. Return: 0, or -EINVAL, and the log says which part of it is wrong. */
int ioas_env_settings_read(const char *text, struct ioas_env_settings *settings);

#endif

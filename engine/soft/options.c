/* SPDX-License-Identifier: BSD-3-Clause */
/* Option parser. See options.h. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "tlb.h"

struct option {
	const char *key;
	size_t offset; /* of a uint64_t in struct soft_options */
	uint64_t initial;
	uint64_t min;
	uint64_t max;
	bool power_of_two;
};

#define OPTION(field) .key = #field, .offset = offsetof(struct soft_options, field)

static const struct option table[] = {
	{ OPTION(iotlb_sets), .initial = 64, .min = 1, .max = 65536, .power_of_two = true },
	{ OPTION(iotlb_ways), .initial = 8, .min = 1, .max = SOFT_WAYS_MAX, .power_of_two = true },
	{ OPTION(psc_entries), .initial = 64, .min = 1, .max = 65536, .power_of_two = true },
	{ OPTION(units), .initial = 1, .min = 1, .max = SOFT_UNITS_MAX },
	{ OPTION(faults), .initial = 1024, .min = 1, .max = 1 << 20 },
	{ OPTION(requests), .initial = 64, .min = 1, .max = 1 << 20 },
	{ OPTION(inval_ns), .initial = 0, .min = 0, .max = 1000000000 },
	{ OPTION(call_ns), .initial = 0, .min = 0, .max = 1000000000 },
	{ OPTION(aperture_bits), .initial = 48, .min = 32, .max = 48 },
	{ OPTION(max_maps), .initial = 0, .min = 0, .max = UINT32_MAX },
	{ OPTION(pin), .initial = 1, .min = 0, .max = 1 },
};

#define OPTION_COUNT (sizeof(table) / sizeof(table[0]))

static const char *const break_names[] = {
	[SOFT_BREAK_NONE] = "none",
	[SOFT_BREAK_DROP_INVAL] = "drop-inval",
	[SOFT_BREAK_DROP_FLUSH] = "drop-flush",
};

static bool equal(const char *name, const char *text, size_t length)
{
	return strlen(name) == length && !memcmp(name, text, length);
}

/* Digits only: strtoull() would take signs, blanks and what follows. */
static bool parse_number(const char *text, size_t length, uint64_t *number)
{
	uint64_t value = 0;

	if (!length || length > 18)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*number = value;
	return true;
}

static int parse_break(struct diag *diag, const char *text, size_t length,
		       struct soft_options *options)
{
	for (unsigned int kind = 0; kind < sizeof(break_names) / sizeof(break_names[0]); kind++)
		if (equal(break_names[kind], text, length)) {
			options->broken = kind;
			return 0;
		}
	return diag_fail(diag, -EINVAL,
			 "soft: option break=%.*s: not one of none, drop-inval, drop-flush",
			 (int)length, text);
}

static int parse_one(struct diag *diag, const char *text, size_t length,
		     struct soft_options *options)
{
	const char *sign = memchr(text, '=', length);
	size_t key_length = sign ? (size_t)(sign - text) : length;
	const char *value = text + key_length + 1;
	size_t value_length = sign ? length - key_length - 1 : 0;

	if (equal("break", text, key_length))
		return parse_break(diag, value, value_length, options);
	for (const struct option *option = table; option < table + OPTION_COUNT; option++) {
		uint64_t number;

		if (!equal(option->key, text, key_length))
			continue;
		if (!parse_number(value, value_length, &number) || number < option->min ||
		    number > option->max || (option->power_of_two && (number & (number - 1))))
			return diag_fail(diag, -EINVAL,
					 "soft: option %.*s: %s wants a %s from %" PRIu64
					 " to %" PRIu64,
					 (int)length, text, option->key,
					 option->power_of_two ? "power of two" : "number",
					 option->min, option->max);
		*(uint64_t *)((char *)options + option->offset) = number;
		return 0;
	}
	return diag_fail(diag, -EINVAL, "soft: unknown option \"%.*s\"", (int)key_length, text);
}

int soft_options_parse(struct diag *diag, const char *text, struct soft_options *options)
{
	memset(options, 0, sizeof(*options));
	for (const struct option *option = table; option < table + OPTION_COUNT; option++)
		*(uint64_t *)((char *)options + option->offset) = option->initial;

	while (text && *text) {
		size_t length = strcspn(text, ",");
		int ret = parse_one(diag, text, length, options);

		if (ret)
			return ret;
		text += length;
		if (*text == ',' && !*++text)
			return diag_fail(diag, -EINVAL,
					 "soft: option missing after the last comma");
	}
	return 0;
}

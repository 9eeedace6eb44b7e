/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Strict "key=value,..." parser of the glue; see config.h. "[a=1,b=2]" is one value: rte_kvargs (of
 * DPDK 22.11) protects the comma in there but not the equals sign, so the text is cut here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "config.h"
#include "log.h"

static const char *const mode_names[GLUE_MODE_COUNT] = {
	[GLUE_MODE_PASSTHROUGH] = "passthrough", [GLUE_MODE_STATIC] = "static",
	[GLUE_MODE_PERCALL] = "percall",	 [GLUE_MODE_STRICT] = "strict",
	[GLUE_MODE_BATCHED] = "batched",
};

const char *glue_mode_name(enum glue_mode mode)
{
	return (unsigned int)mode < GLUE_MODE_COUNT ? mode_names[mode] : "unknown";
}

void glue_config_defaults(struct glue_config *config)
{
	memset(config, 0, sizeof(*config));
	config->mode = GLUE_MODE_BATCHED;
	config->batch_max = 256;
	config->batch_ns = UINT64_C(10000000);
	snprintf(config->backend, sizeof(config->backend), "soft");
}

void port_config_defaults(struct port_config *config)
{
	memset(config, 0, sizeof(*config));
	config->cpu = -1;
}

static int bad(const char *where, const char *key, const char *value, const char *wanted)
{
	GLUE_LOG(ERR, "%s: %s=%s: want %s", where, key, value, wanted);
	return -EINVAL;
}

static int parse_number(const char *where, const char *key, const char *value, uint64_t lowest,
			uint64_t highest, uint64_t *number)
{
	char wanted[96];
	char *end = NULL;

	snprintf(wanted, sizeof(wanted), "a number from %" PRIu64 " to %" PRIu64, lowest, highest);
	if (value[0] < '0' || value[0] > '9')
		return bad(where, key, value, wanted);
	errno = 0;
	*number = strtoull(value, &end, 0);
	if (errno != 0 || *end != '\0' || *number < lowest || *number > highest)
		return bad(where, key, value, wanted);
	return 0;
}

static int parse_text(const char *where, const char *key, const char *value, char *text,
		      size_t text_bytes)
{
	size_t len = strlen(value);

	if (len >= 2 && value[0] == '[' && value[len - 1] == ']') {
		value++;
		len -= 2;
	}
	if (len == 0 || len >= text_bytes)
		return bad(where, key, value, "a text that is neither empty nor too long");
	memcpy(text, value, len);
	text[len] = '\0';
	return 0;
}

static int parse_bool(const char *where, const char *key, const char *value, bool *flag)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return bad(where, key, value, "0 or 1");
	*flag = value[0] == '1';
	return 0;
}

static int parse_mode(const char *where, const char *key, const char *value, enum glue_mode *mode)
{
	for (unsigned int i = 0; i < GLUE_MODE_COUNT; i++) {
		if (strcmp(value, mode_names[i]) == 0) {
			*mode = (enum glue_mode)i;
			return 0;
		}
	}
	return bad(where, key, value, "passthrough, static, percall, strict or batched");
}

/* Return: 1 the key is process-wide and was taken, 0 it is not, or -EINVAL. */
static int parse_glue_pair(const char *where, const char *key, const char *value,
			   struct glue_config *glue)
{
	uint64_t number;
	int rc;

	if (strcmp(key, "mode") == 0) {
		glue->given |= GLUE_GIVEN_MODE;
		rc = parse_mode(where, key, value, &glue->mode);
	} else if (strcmp(key, "backend") == 0) {
		glue->given |= GLUE_GIVEN_BACKEND;
		rc = parse_text(where, key, value, glue->backend, sizeof(glue->backend));
	} else if (strcmp(key, "backend_options") == 0) {
		glue->given |= GLUE_GIVEN_BACKEND_OPTIONS;
		rc = parse_text(where, key, value, glue->backend_options,
				sizeof(glue->backend_options));
	} else if (strcmp(key, "batch_max") == 0) {
		glue->given |= GLUE_GIVEN_BATCH_MAX;
		rc = parse_number(where, key, value, 2, 4096, &number);
		glue->batch_max = (uint32_t)number;
	} else if (strcmp(key, "batch_ns") == 0) {
		glue->given |= GLUE_GIVEN_BATCH_NS;
		rc = parse_number(where, key, value, 200000, UINT64_C(10000000000), &number);
		glue->batch_ns = number;
	} else if (strcmp(key, "cache") == 0) {
		glue->given |= GLUE_GIVEN_CACHE;
		glue->refuse_cache = strcmp(value, "refuse") == 0;
		rc = glue->refuse_cache || strcmp(value, "warn") == 0
			     ? 0
			     : bad(where, key, value, "warn or refuse");
	} else {
		return 0;
	}
	return rc < 0 ? rc : 1;
}

static int parse_gen(const char *where, const char *key, const char *value,
		     struct port_config *port)
{
	uint64_t number = 0;
	int rc;

	if (strcmp(value, "imix") == 0) {
		port->gen_imix = true;
		return 0;
	}
	rc = parse_number(where, key, value, 60, 1518, &number);
	port->gen_bytes = (uint32_t)number;
	return rc;
}

static int parse_port_pair(const char *where, const char *key, const char *value,
			   struct port_config *port)
{
	uint64_t number = 0;
	int rc;

	if (strcmp(key, "rx_pcap") == 0)
		return parse_text(where, key, value, port->rx_pcap, sizeof(port->rx_pcap));
	if (strcmp(key, "tx_pcap") == 0)
		return parse_text(where, key, value, port->tx_pcap, sizeof(port->tx_pcap));
	if (strcmp(key, "rogue_file") == 0)
		return parse_text(where, key, value, port->rogue_file, sizeof(port->rogue_file));
	if (strcmp(key, "peer") == 0)
		return parse_text(where, key, value, port->peer, sizeof(port->peer));
	if (strcmp(key, "gen") == 0)
		return parse_gen(where, key, value, port);
	if (strcmp(key, "verify") == 0)
		return parse_bool(where, key, value, &port->verify);
	if (strcmp(key, "thread") == 0)
		return parse_bool(where, key, value, &port->thread);
	if (strcmp(key, "cpu") == 0) {
		rc = parse_number(where, key, value, 0, 1023, &number);
		port->cpu = (int32_t)number;
		return rc;
	}
	if (strcmp(key, "rogue") == 0) {
		rc = parse_number(where, key, value, 0, 4096, &number);
		port->rogue = (uint32_t)number;
		return rc;
	}
	if (strcmp(key, "count") == 0)
		return parse_number(where, key, value, 1, UINT64_C(1) << 47, &port->count);
	GLUE_LOG(ERR, "%s: unknown key '%s'", where, key);
	return -EINVAL;
}

/* What one key cannot know alone. */
static int check_port(const char *where, const struct port_config *port)
{
	unsigned int feeds = (port->rx_pcap[0] != '\0') + (port->gen_bytes != 0) + port->gen_imix +
			     (port->peer[0] != '\0');

	if (feeds > 1) {
		GLUE_LOG(ERR, "%s: rx_pcap, gen and peer exclude each other", where);
		return -EINVAL;
	}
	if (port->cpu >= 0 && !port->thread) {
		GLUE_LOG(ERR, "%s: cpu needs thread=1", where);
		return -EINVAL;
	}
	if (port->rogue_file[0] != '\0' && port->rogue == 0) {
		GLUE_LOG(ERR, "%s: rogue_file needs rogue", where);
		return -EINVAL;
	}
	return 0;
}

/* One pair of a text that has been cut. */
struct pair {
	const char *key;
	const char *value; /* NULL: none */
};

#define PAIRS_MAX 32

/* The end of a pair: the next comma outside of brackets, or the end of the text. */
static char *pair_end(char *text)
{
	unsigned int depth = 0;

	for (; *text != '\0' && (*text != ',' || depth > 0); text++) {
		depth += *text == '[';
		depth -= *text == ']' && depth > 0;
	}
	return text;
}

/* Cut @text into pairs. Return: how many, or -EINVAL: too many. */
static int cut(char *text, struct pair *pairs)
{
	int count = 0;

	while (*text != '\0') {
		char *end = pair_end(text);
		bool last = *end == '\0';
		char *equals;

		*end = '\0';
		if (count == PAIRS_MAX)
			return -EINVAL;
		equals = strchr(text, '=');
		if (equals != NULL)
			*equals = '\0';
		pairs[count++] = (struct pair){ text, equals != NULL ? equals + 1 : NULL };
		text = last ? end : end + 1;
	}
	return count;
}

static int parse_pair(const char *where, const struct pair *pair, struct glue_config *glue,
		      struct port_config *port)
{
	int rc;

	if (pair->value == NULL || pair->value[0] == '\0') {
		GLUE_LOG(ERR, "%s: key '%s' has no value", where, pair->key);
		return -EINVAL;
	}
	rc = parse_glue_pair(where, pair->key, pair->value, glue);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (port != NULL)
		return parse_port_pair(where, pair->key, pair->value, port);
	GLUE_LOG(ERR, "%s: unknown key '%s'", where, pair->key);
	return -EINVAL;
}

static bool repeated(const struct pair *pairs, int index)
{
	for (int i = 0; i < index; i++)
		if (strcmp(pairs[i].key, pairs[index].key) == 0)
			return true;
	return false;
}

int glue_config_parse(const char *where, const char *text, struct glue_config *glue,
		      struct port_config *port)
{
	struct pair pairs[PAIRS_MAX];
	char *copy;
	int count, rc;

	if (text == NULL || text[0] == '\0')
		return 0;
	copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	count = cut(copy, pairs);
	if (count < 0)
		GLUE_LOG(ERR, "%s: more than %d keys", where, PAIRS_MAX);
	rc = count < 0 ? count : 0;
	for (int i = 0; i < count && rc == 0; i++) {
		rc = parse_pair(where, &pairs[i], glue, port);
		if (rc == 0 && repeated(pairs, i)) {
			GLUE_LOG(ERR, "%s: key '%s' is given more than once", where, pairs[i].key);
			rc = -EINVAL;
		}
	}
	free(copy);
	if (rc == 0 && port != NULL)
		rc = check_port(where, port);
	return rc;
}

const char *glue_config_conflict(const struct glue_config *have, const struct glue_config *want)
{
	if ((want->given & GLUE_GIVEN_MODE) && want->mode != have->mode)
		return "mode";
	if ((want->given & GLUE_GIVEN_BACKEND) && strcmp(want->backend, have->backend) != 0)
		return "backend";
	if ((want->given & GLUE_GIVEN_BACKEND_OPTIONS) &&
	    strcmp(want->backend_options, have->backend_options) != 0)
		return "backend_options";
	if ((want->given & GLUE_GIVEN_BATCH_MAX) && want->batch_max != have->batch_max)
		return "batch_max";
	if ((want->given & GLUE_GIVEN_BATCH_NS) && want->batch_ns != have->batch_ns)
		return "batch_ns";
	if ((want->given & GLUE_GIVEN_CACHE) && want->refuse_cache != have->refuse_cache)
		return "cache";
	return NULL;
}

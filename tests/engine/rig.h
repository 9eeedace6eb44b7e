/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the engine's tests stand on: a context on the software IOMMU with a log that is kept, 4 MiB
 * of registered memory, one device and one address space of a given flavour. The tests use the
 * public headers and nothing else; DMA by the device is their judge of what is mapped.
 *
 * The memory fits the RLIMIT_MEMLOCK of an ordinary user. rig_stop() is a test of its own: memory
 * cannot be released while anything of it is mapped.
 */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <ioas/ioas.h>
#include <ioas/soft.h>

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define PAGE   UINT64_C(4096)

#define RIG_BYTES MIB(4)
#define RIG_PAGES (RIG_BYTES / PAGE)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* cmocka 1.1 writes "not ok" for a skipped test, which meson takes for a failure. */
#define SKIP_TEST(...)                             \
	do {                                       \
		printf("# skipped: " __VA_ARGS__); \
		printf("\n");                      \
		return;                            \
	} while (0)

/* Sorts of address spaces that map and unmap. */
struct flavour {
	const char *name;
	enum ioas_kind kind;
	enum ioas_mode mode;
	enum ioas_format format;
};

static const struct flavour kernel_flavour = { "KERNEL", IOAS_KIND_KERNEL, IOAS_STRICT,
					       IOAS_FORMAT_NONE };
static const struct flavour user_flavour = { "USER", IOAS_KIND_USER, IOAS_STRICT,
					     IOAS_FORMAT_X86_64_L4 };
static const struct flavour user5_flavour = { "USER 5 levels", IOAS_KIND_USER, IOAS_STRICT,
					      IOAS_FORMAT_X86_64_L5 };
static const struct flavour batched_flavour = { "USER BATCHED", IOAS_KIND_USER, IOAS_BATCHED,
						IOAS_FORMAT_X86_64_L4 };

#define TEST_OF(test, flavour)                                                              \
	{                                                                                   \
#test " " #flavour, test, NULL, NULL, (void *)(uintptr_t)&flavour##_flavour \
	}
#define USER_FLAVOURS(test) TEST_OF(test, user), TEST_OF(test, user5), TEST_OF(test, batched)
#define ALL_FLAVOURS(test)  TEST_OF(test, kernel), USER_FLAVOURS(test)

/* A log that is kept: how many lines of each level, and the last of each. */
struct log_book {
	pthread_mutex_t lock;
	unsigned int lines[IOAS_LOG_DEBUG + 1];
	unsigned int bad; /* unknown level, empty, or a newline in it */
	char last[IOAS_LOG_DEBUG + 1][512];
};

static inline void log_book_write(void *arg, enum ioas_log_level level, const char *line)
{
	struct log_book *book = arg;

	pthread_mutex_lock(&book->lock);
	if (level > IOAS_LOG_DEBUG || !line || !*line || strchr(line, '\n')) {
		book->bad++;
	} else {
		book->lines[level]++;
		snprintf(book->last[level], sizeof(book->last[level]), "%s", line);
	}
	pthread_mutex_unlock(&book->lock);
}

static inline unsigned int log_lines(struct log_book *book, enum ioas_log_level level)
{
	unsigned int lines;

	pthread_mutex_lock(&book->lock);
	lines = book->lines[level];
	pthread_mutex_unlock(&book->lock);
	return lines;
}

struct rig {
	struct log_book log;
	struct ioas_ctx *ctx;
	uint8_t *va; /* 2 MiB-aligned, RIG_BYTES, registered */
	struct ioas_mem *mem;
	struct ioas_dev *dev;
	struct ioas *as;
	struct ioas_queue *q;
	uint64_t tag; /* what the device wrote last */
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* How long a test that could go on for ever should run. */
static inline uint64_t test_ns(void)
{
	const char *text = getenv("IOAS_TEST_SECONDS");
	double seconds = text ? atof(text) : 2;

	return (seconds > 0 ? seconds : 2) * 1e9;
}

/* 2 MiB-aligned memory of the caller. */
static inline uint8_t *memory_new(uint64_t bytes)
{
	uint8_t *raw = mmap(NULL, bytes + MIB(2), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *va = (uint8_t *)(((uintptr_t)raw + MIB(2) - 1) & ~(MIB(2) - 1));

	assert_ptr_not_equal(raw, MAP_FAILED);
	if (va > raw)
		munmap(raw, va - raw);
	if (va + bytes < raw + bytes + MIB(2))
		munmap(va + bytes, raw + bytes + MIB(2) - (va + bytes));
	return va;
}

static inline struct ioas_ctx *ctx_new(const char *backend_options)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = "soft",
				      .backend_options = backend_options };
	struct ioas_ctx *ctx;

	assert_int_equal(ioas_ctx_open(&opts, &ctx), 0);
	return ctx;
}

static inline struct ioas_opts opts_of(const struct flavour *flavour)
{
	return (struct ioas_opts){ .size = sizeof(struct ioas_opts),
				   .kind = flavour->kind,
				   .mode = flavour->mode,
				   .format = flavour->format };
}

static inline struct ioas *space_new(struct ioas_ctx *ctx, const struct flavour *flavour)
{
	struct ioas_opts opts = opts_of(flavour);
	struct ioas *as;

	assert_int_equal(ioas_create(ctx, &opts, &as), 0);
	return as;
}

static inline struct ioas_queue *queue_new(struct ioas *as)
{
	struct ioas_queue *q;

	assert_int_equal(ioas_queue_create(as, &q), 0);
	return q;
}

/* Everything but the address space. */
static inline void rig_open(struct rig *r, const char *backend_options)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = "soft",
				      .backend_options = backend_options,
				      .log = log_book_write,
				      .log_arg = &r->log };

	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->log.lock, NULL);
	assert_int_equal(ioas_ctx_open(&opts, &r->ctx), 0);
	r->va = memory_new(RIG_BYTES);
	assert_int_equal(ioas_mem_register(r->ctx, r->va, RIG_BYTES, &r->mem), 0);
	assert_int_equal(ioas_dev_bind(r->ctx, "nic", &r->dev), 0);
}

static inline void rig_space(struct rig *r, const struct ioas_opts *opts)
{
	assert_int_equal(ioas_create(r->ctx, opts, &r->as), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
	r->q = queue_new(r->as);
}

static inline void rig_start(struct rig *r, const struct flavour *flavour,
			     const char *backend_options)
{
	struct ioas_opts opts = opts_of(flavour);

	rig_open(r, backend_options);
	rig_space(r, &opts);
}

static inline void rig_drop_space(struct rig *r)
{
	assert_int_equal(ioas_queue_destroy(r->q), 0);
	assert_int_equal(ioas_detach(r->dev), 0);
	assert_int_equal(ioas_destroy(r->as), 0);
}

static inline void rig_close(struct rig *r)
{
	assert_int_equal(ioas_dev_unbind(r->dev), 0);
	assert_int_equal(ioas_mem_free(r->mem), 0);
	assert_int_equal(ioas_ctx_close(r->ctx), 0);
	munmap(r->va, RIG_BYTES);
	assert_int_equal(r->log.bad, 0);
}

static inline void rig_stop(struct rig *r)
{
	/* First: spaces take what is mapped on them along. */
	assert_int_equal(ioas_mem_free(r->mem), 0);
	assert_int_equal(ioas_mem_register(r->ctx, r->va, RIG_BYTES, &r->mem), 0);
	rig_drop_space(r);
	rig_close(r);
}

/* Memory is seen by both sides: by the test and by the device. */
static inline uint64_t word_at(const void *va)
{
	return atomic_load((const _Atomic uint64_t *)va);
}

static inline void word_set(void *va, uint64_t value)
{
	atomic_store((_Atomic uint64_t *)va, value);
}

/* The device writes a word of its own at @iova: does it come to lie at @va? */
static inline bool writes(struct rig *r, ioas_iova_t iova, void *va)
{
	uint64_t tag = ++r->tag << 16 | 0x1a5;

	return !ioas_soft_dma_write(r->dev, iova, &tag, sizeof(tag)) && word_at(va) == tag;
}

static inline bool reads(struct rig *r, ioas_iova_t iova, void *va)
{
	uint64_t tag = ++r->tag << 16 | 0x2a5, seen = 0;

	word_set(va, tag);
	return !ioas_soft_dma_read(r->dev, iova, &seen, sizeof(seen)) && seen == tag;
}

/* Every page of the range, from its first and its last word. */
static inline bool reaches(struct rig *r, ioas_iova_t iova, void *va, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += PAGE)
		if (!writes(r, iova + at, (uint8_t *)va + at) ||
		    !reads(r, iova + at + PAGE - 8, (uint8_t *)va + at + PAGE - 8))
			return false;
	return true;
}

/* Is every access to every page of the range refused? */
static inline bool refused(struct rig *r, ioas_iova_t iova, uint64_t bytes)
{
	uint64_t word = UINT64_C(0xdeadbeef0badf00d);

	for (uint64_t at = 0; at < bytes; at += PAGE)
		if (ioas_soft_dma_write(r->dev, iova + at, &word, sizeof(word)) != -EFAULT ||
		    ioas_soft_dma_read(r->dev, iova + at, &word, sizeof(word)) != -EFAULT)
			return false;
	return true;
}

static inline void drain_faults(struct rig *r)
{
	struct ioas_fault faults[64];
	int ret;

	do {
		ret = ioas_fault_poll(r->ctx, faults, 64);
		assert_true(ret >= 0);
	} while (ret);
}

/* One access is refused; returns the reason that is reported. No faults are pending before. */
static inline unsigned int reason_of(struct rig *r, ioas_iova_t iova, uint32_t prot)
{
	struct ioas_fault faults[2];
	uint64_t word = 0;

	assert_int_equal(prot == IOAS_WRITE ? ioas_soft_dma_write(r->dev, iova, &word, 8)
					    : ioas_soft_dma_read(r->dev, iova, &word, 8),
			 -EFAULT);
	assert_int_equal(ioas_fault_poll(r->ctx, faults, 2), 1);
	assert_ptr_equal(faults[0].dev, r->dev);
	assert_int_equal(faults[0].iova, iova & ~(PAGE - 1));
	assert_int_equal(faults[0].prot, prot);
	return faults[0].reason;
}

static inline struct ioas_stats stats_of(struct ioas_ctx *ctx)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ioas_ctx_stats(ctx, &stats), 0);
	return stats;
}

/* Is @word in the text of the last failure of the context, of the queue? */
static inline bool ctx_says(struct ioas_ctx *ctx, const char *word)
{
	char text[512];

	ioas_ctx_error(ctx, text, sizeof(text));
	if (strcasestr(text, word))
		return true;
	printf("# \"%s\" is not in: %s\n", word, text);
	return false;
}

static inline bool queue_says(const struct ioas_queue *q, const char *word)
{
	const char *text = ioas_queue_error(q);

	if (text && strcasestr(text, word))
		return true;
	printf("# \"%s\" is not in: %s\n", word, text ? text : "(null)");
	return false;
}

/* Run @fn(@arg) in another thread: in_thread(). */
struct in_thread {
	int (*fn)(void *arg);
	void *arg;
	int ret;
};

static inline void *in_thread_main(void *arg)
{
	struct in_thread *call = arg;

	call->ret = call->fn(call->arg);
	return NULL;
}

static inline int in_thread(int (*fn)(void *arg), void *arg)
{
	struct in_thread call = { fn, arg, 0 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, in_thread_main, &call), 0);
	pthread_join(thread, NULL);
	return call.ret;
}

#endif

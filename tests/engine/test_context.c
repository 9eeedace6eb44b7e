/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts: how they open and close, which backend they get, what they say of a failure. */
#include "rig.h"

static int open_with(const char *backend, const char *backend_options, struct log_book *book,
		     struct ioas_ctx **ctx)
{
	struct ioas_ctx_opts opts = { .size = sizeof(opts),
				      .backend = backend,
				      .backend_options = backend_options };

	if (book) {
		memset(book, 0, sizeof(*book));
		pthread_mutex_init(&book->lock, NULL);
		opts.log = log_book_write;
		opts.log_arg = book;
	}
	return ioas_ctx_open(&opts, ctx);
}

static bool log_says(struct log_book *book, const char *word)
{
	for (unsigned int level = 0; level <= IOAS_LOG_DEBUG; level++)
		if (strcasestr(book->last[level], word))
			return true;
	printf("# \"%s\" is not in the log: %s\n", word, book->last[IOAS_LOG_ERROR]);
	return false;
}

static void backend_by_name(void **state)
{
	struct ioas_ctx *ctx;
	struct log_book book;

	(void)state;
	assert_int_equal(open_with("soft", NULL, &book, &ctx), 0);
	assert_string_equal(ioas_ctx_backend(ctx), "soft");
	assert_true(strlen(ioas_ctx_why(ctx)) > 3);
	assert_null(strchr(ioas_ctx_why(ctx), '\n'));
	assert_int_equal(ioas_ctx_close(ctx), 0);
	assert_int_equal(book.bad, 0);
	assert_int_equal(book.lines[IOAS_LOG_ERROR], 0);
	assert_int_equal(book.lines[IOAS_LOG_WARNING], 0);
}

static void backend_by_itself(void **state)
{
	static const char *const names[] = { NULL, "auto" };
	struct ioas_ctx *ctx;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(open_with(names[i], NULL, NULL, &ctx), 0);
		assert_string_not_equal(ioas_ctx_backend(ctx), "auto");
		assert_true(strlen(ioas_ctx_backend(ctx)) > 0);
		/* Says which path it took and why. */
		assert_true(strlen(ioas_ctx_why(ctx)) > 3);
		assert_null(strchr(ioas_ctx_why(ctx), '\n'));
		assert_int_equal(ioas_ctx_close(ctx), 0);
	}
	assert_int_equal(ioas_ctx_open(NULL, &ctx), 0);
	assert_string_not_equal(ioas_ctx_backend(ctx), "auto");
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void no_such_backend(void **state)
{
	struct ioas_ctx *ctx;
	struct log_book book;

	(void)state;
	assert_int_equal(open_with("quantum", NULL, &book, &ctx), -ENODEV);
	assert_true(log_says(&book, "quantum"));
	assert_int_equal(open_with("", NULL, NULL, &ctx), -ENODEV);
	assert_int_equal(open_with("sof", NULL, NULL, &ctx), -ENODEV);
	assert_int_equal(open_with("softer", NULL, NULL, &ctx), -ENODEV);
	if (access("/dev/iommu", F_OK))
		assert_int_equal(open_with("iommufd", NULL, NULL, &ctx), -ENODEV);
	if (access("/dev/vfio/vfio", F_OK))
		assert_int_equal(open_with("type1", NULL, NULL, &ctx), -ENODEV);
}

static void bad_options_are_named(void **state)
{
	static const struct {
		const char *options;
		const char *word;
	} bad[] = {
		{ "nonsense=1", "nonsense" },	  { "units=99", "units" },
		{ "iotlb_sets=3", "iotlb_sets" }, { "iotlb_ways=x", "iotlb_ways" },
		{ "faults=", "faults" },	  { "units", "units" },
		{ "break=maybe", "maybe" },	  { "aperture_bits=49", "aperture_bits" },
		{ "aperture_bits=31", "31" },	  { "units=1,psc_entries=-1", "psc_entries" },
		{ "units=1,", "option" },
	};
	struct ioas_ctx_opts opts = { .size = sizeof(opts), .backend = "soft", .reserved = 1 };
	struct ioas_ctx *ctx;
	struct log_book book;

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(open_with("soft", bad[i].options, &book, &ctx), -EINVAL);
		assert_true(log_says(&book, bad[i].word));
		assert_int_equal(book.bad, 0);
	}
	assert_int_equal(ioas_ctx_open(&opts, &ctx), -EINVAL);
	opts.reserved = 0;
	opts.size = 0;
	assert_int_equal(ioas_ctx_open(&opts, &ctx), -EINVAL);
	assert_int_equal(open_with("soft", "units=2,iotlb_sets=16,faults=4", NULL, &ctx), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	assert_int_equal(open_with("soft", "", NULL, &ctx), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* A program built against a later header: what the library does not know must be zero. */
static void larger_structures(void **state)
{
	struct {
		struct ioas_ctx_opts opts;
		unsigned char tail[40];
	} later = { .opts = { .size = sizeof(later), .backend = "soft" } };
	struct ioas_ctx *ctx;

	(void)state;
	assert_int_equal(ioas_ctx_open(&later.opts, &ctx), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	for (unsigned int i = 0; i < sizeof(later.tail); i += 13) {
		later.tail[i] = 1;
		assert_int_equal(ioas_ctx_open(&later.opts, &ctx), -E2BIG);
		later.tail[i] = 0;
	}
	later.tail[sizeof(later.tail) - 1] = 0x80;
	assert_int_equal(ioas_ctx_open(&later.opts, &ctx), -E2BIG);
	/* Beyond the size that the caller states: not the library's business. */
	later.opts.size = sizeof(later.opts);
	assert_int_equal(ioas_ctx_open(&later.opts, &ctx), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

static void close_is_refused_while_in_use(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	uint8_t *va = memory_new(MIB(2));
	struct ioas_mem *mem;
	struct ioas_dev *dev;
	struct ioas *as;

	(void)state;
	assert_int_equal(ioas_dev_bind(ctx, "nic", &dev), 0);
	assert_int_equal(ioas_ctx_close(ctx), -EBUSY);
	assert_true(ctx_says(ctx, "device"));
	/* Nothing is changed: the device is still bound. */
	assert_int_equal(ioas_dev_bind(ctx, "nic", &dev), -EBUSY);
	assert_string_equal(ioas_dev_name(dev), "nic");
	assert_int_equal(ioas_dev_unbind(dev), 0);

	assert_int_equal(ioas_mem_register(ctx, va, MIB(2), &mem), 0);
	assert_int_equal(ioas_ctx_close(ctx), -EBUSY);
	assert_true(ctx_says(ctx, "memor"));
	assert_int_equal(ioas_mem_bytes(mem), MIB(2));
	assert_int_equal(ioas_mem_free(mem), 0);

	as = space_new(ctx, &user_flavour);
	assert_int_equal(ioas_ctx_close(ctx), -EBUSY);
	assert_true(ctx_says(ctx, "address space"));
	assert_int_equal(ioas_get_kind(as), IOAS_KIND_USER);
	assert_int_equal(ioas_destroy(as), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	munmap(va, MIB(2));
}

static void error_text(void **state)
{
	struct ioas_ctx *ctx = ctx_new(NULL);
	char text[300], small[8], guard[4] = "abc";
	struct ioas_dev *dev;

	(void)state;
	assert_int_equal(ioas_dev_bind(ctx, "", &dev), -EINVAL);
	ioas_ctx_error(ctx, text, sizeof(text));
	assert_true(strlen(text) > 5);
	assert_null(strchr(text, '\n'));
	assert_non_null(strcasestr(text, "name"));
	/* Cut to the caller's buffer, with its end. */
	ioas_ctx_error(ctx, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_memory_equal(small, text, sizeof(small) - 1);
	ioas_ctx_error(ctx, guard, 1);
	assert_memory_equal(guard, "\0bc", 4);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* Failures are logged, and nothing else is at these levels. */
static void log_callback(void **state)
{
	struct log_book book;
	struct ioas_ctx *ctx;
	struct ioas_dev *dev;
	unsigned int lines = 0;

	(void)state;
	assert_int_equal(open_with("soft", NULL, &book, &ctx), 0);
	assert_int_equal(ioas_dev_bind(ctx, "x@7", &dev), -ENODEV);
	for (unsigned int level = 0; level <= IOAS_LOG_DEBUG; level++)
		lines += log_lines(&book, level);
	assert_true(lines >= 1);
	assert_true(log_says(&book, "x@7"));
	assert_int_equal(book.bad, 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* What @level prints on stderr: number of lines. */
static unsigned int stderr_lines(enum ioas_log_level level, char *text, size_t bytes)
{
	FILE *file = tmpfile();
	unsigned int lines = 0;
	int saved = dup(STDERR_FILENO);
	size_t length;

	assert_non_null(file);
	assert_true(saved >= 0);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	ioas_log_stderr(NULL, level, "a line of text");
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	length = fread(text, 1, bytes - 1, file);
	text[length] = 0;
	fclose(file);
	for (char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	return lines;
}

static void log_on_stderr(void **state)
{
	char text[200];

	(void)state;
	for (int level = IOAS_LOG_ERROR; level <= IOAS_LOG_INFO; level++) {
		assert_int_equal(stderr_lines(level, text, sizeof(text)), 1);
		assert_non_null(strstr(text, "a line of text"));
		assert_int_equal(text[strlen(text) - 1], '\n');
	}
	assert_int_equal(stderr_lines(IOAS_LOG_DEBUG, text, sizeof(text)), 0);
	assert_int_equal(strlen(text), 0);
}

static void capabilities(void **state)
{
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct ioas_ctx *ctx = ctx_new(NULL);

	(void)state;
	assert_int_equal(ioas_ctx_caps(ctx, &caps), 0);
	assert_int_equal(caps.size, sizeof(caps));
	assert_int_equal(caps.kinds,
			 1 << IOAS_KIND_KERNEL | 1 << IOAS_KIND_USER | 1 << IOAS_KIND_PASSTHROUGH);
	assert_true(caps.user_formats & 1 << IOAS_FORMAT_X86_64_L4);
	assert_true(caps.user_formats & 1 << IOAS_FORMAT_X86_64_L5);
	assert_false(caps.user_formats & 1 << IOAS_FORMAT_NONE);
	assert_int_equal(caps.page_sizes & PAGE, PAGE);
	assert_int_equal(caps.iova.last, (UINT64_C(1) << 48) - 1);
	assert_int_equal(caps.max_maps, 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);

	ctx = ctx_new("aperture_bits=39,max_maps=77");
	assert_int_equal(ioas_ctx_caps(ctx, &caps), 0);
	assert_int_equal(caps.iova.last, (UINT64_C(1) << 39) - 1);
	assert_int_equal(caps.max_maps, 77);
	caps.size = 0;
	assert_int_equal(ioas_ctx_caps(ctx, &caps), -EINVAL);
	assert_int_equal(ioas_ctx_close(ctx), 0);
}

/* Contexts have nothing in common: the same names and the same memory in both. */
static void contexts_are_independent(void **state)
{
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas_dev *dev;
	struct ioas_queue *q;
	struct ioas *as;
	ioas_iova_t iova, other;
	struct rig r;
	uint64_t word = 5;

	(void)state;
	rig_start(&r, &user_flavour, NULL);
	ctx = ctx_new(NULL);
	assert_int_equal(ioas_mem_register(ctx, r.va, 16 * PAGE, &mem), 0);
	assert_int_equal(ioas_dev_bind(ctx, "nic", &dev), 0);
	as = space_new(ctx, &kernel_flavour);
	assert_int_equal(ioas_attach(as, dev), 0);
	q = queue_new(as);
	assert_int_equal(ioas_map(r.q, r.va, PAGE, IOAS_RW, &iova), 0);
	other = iova;
	assert_int_equal(ioas_map(q, r.va + PAGE, PAGE, IOAS_RW | IOAS_MAP_FIXED, &other), 0);
	assert_true(writes(&r, iova, r.va));
	assert_int_equal(ioas_soft_dma_write(dev, other, &word, 8), 0);
	assert_int_equal(word_at(r.va + PAGE), 5);
	assert_int_equal(stats_of(ctx).maps, 1);
	assert_int_equal(ioas_unmap(q, other, PAGE), 0);
	assert_int_equal(ioas_soft_dma_write(dev, other, &word, 8), -EFAULT);
	assert_int_equal(stats_of(ctx).faults, 1);
	assert_true(writes(&r, iova, r.va));
	assert_int_equal(stats_of(r.ctx).faults, 0);
	assert_int_equal(ioas_queue_destroy(q), 0);
	assert_int_equal(ioas_detach(dev), 0);
	assert_int_equal(ioas_destroy(as), 0);
	assert_int_equal(ioas_dev_unbind(dev), 0);
	assert_int_equal(ioas_mem_free(mem), 0);
	assert_int_equal(ioas_ctx_close(ctx), 0);
	assert_int_equal(ioas_unmap(r.q, iova, PAGE), 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend_by_name),
		cmocka_unit_test(backend_by_itself),
		cmocka_unit_test(no_such_backend),
		cmocka_unit_test(bad_options_are_named),
		cmocka_unit_test(larger_structures),
		cmocka_unit_test(close_is_refused_while_in_use),
		cmocka_unit_test(error_text),
		cmocka_unit_test(log_callback),
		cmocka_unit_test(log_on_stderr),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(contexts_are_independent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend ioasid on a kernel of the test's own: batches are one call, what the kernel refuses
 * is undone and explained in its words, a request that fails leaves nothing behind.
 */
#define FAKE_BACKEND "ioasid"

#include <poll.h>
#include <sys/eventfd.h>

#include "fake_ioasid.h"
#include "fake_rig.h"

#define MAPS   fake.calls[_IOC_NR(IOASID_MAP_DMA) - IOASID_BASE]
#define UNMAPS fake.calls[_IOC_NR(IOASID_UNMAP_DMA) - IOASID_BASE]

static int begin(void **state)
{
	fake_reset();
	return 0;
}

static void assert_reached(const struct ioas_seg *segs, unsigned int count, bool reached)
{
	for (unsigned int i = 0; i < count; i++)
		assert_ptr_equal(fake_dma(0, segs[i].iova, IOASID_PROT_WRITE),
				 reached ? segs[i].va : NULL);
}

static struct ioas_stats stats_of(const struct fake_rig *r)
{
	struct ioas_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ioas_ctx_stats(r->ctx, &stats), 0);
	return stats;
}

/* A batch is one call, a long one as few as the kernel's limit and the stack allow. */
static void batches(void **state)
{
	static const struct {
		unsigned int count, array_max, maps, unmaps;
	} cases[] = { { 1, 4096, 1, 1 },   { 64, 4096, 1, 1 }, { 256, 4096, 1, 1 },
		      { 600, 4096, 3, 1 }, { 600, 512, 3, 2 }, { 64, 16, 4, 4 },
		      { 65, 16, 5, 5 } };
	struct ioas_seg segs[600];
	struct fake_rig r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const unsigned int count = cases[i].count;
		struct ioas_stats stats;

		fake_reset();
		fake.array_max = cases[i].array_max;
		fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
		fake_fill(&r, segs, count);
		assert_int_equal(ioas_map_batch(r.q, segs, count, IOAS_RW), count);
		assert_reached(segs, count, true);
		assert_int_equal(ioas_unmap_batch(r.q, segs, count), count);
		assert_reached(segs, count, false);
		stats = stats_of(&r);
		assert_int_equal(MAPS, cases[i].maps);
		assert_int_equal(UNMAPS, cases[i].unmaps);
		assert_int_equal(stats.map_crossings, cases[i].maps);
		assert_int_equal(stats.unmap_crossings, cases[i].unmaps);
		fake_rig_stop(&r);
	}
}

/* Memory is registered once; no map pins it again. */
static void registered_once(void **state)
{
	const unsigned int registers = _IOC_NR(IOASID_REGISTER_MEMORY) - IOASID_BASE;
	struct ioas_seg segs[PAGES];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	assert_int_equal(fake.calls[registers], 1);
	for (int i = 0; i < 3; i++) {
		fake_fill(&r, segs, PAGES);
		assert_int_equal(ioas_map_batch(r.q, segs, PAGES, IOAS_READ), PAGES);
		assert_null(fake_dma(0, segs[0].iova, IOASID_PROT_WRITE));
		assert_ptr_equal(fake_dma(0, segs[0].iova, IOASID_PROT_READ), segs[0].va);
		assert_int_equal(ioas_unmap_batch(r.q, segs, PAGES), PAGES);
	}
	assert_int_equal(fake.calls[registers], 1);
	fake_rig_stop(&r);
}

/* One of several calls of a batch fails: all of it is undone, and can be done again. */
static void batch_fails(void **state)
{
	struct ioas_seg segs[600];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	fake_fill(&r, segs, 600);
	for (unsigned int nth = 1; nth <= 3; nth++) {
		fake.fail_at = nth;
		fake.fail_with = EIO;
		assert_int_equal(ioas_map_batch(r.q, segs, 600, IOAS_RW), -EIO);
		assert_non_null(strstr(ioas_queue_error(r.q), "made to fail"));
		assert_int_equal(fake.spaces[fake.devices[0].space].count, 0);
	}
	assert_int_equal(ioas_map_batch(r.q, segs, 600, IOAS_RW), 600);
	fake.array_max = 300; /* of the kernel, not as the backend knows it */
	assert_int_equal(ioas_unmap_batch(r.q, segs, 600), -EINVAL);
	assert_reached(segs, 600, true);
	fake.array_max = 4096;
	assert_int_equal(ioas_unmap_batch(r.q, segs, 600), 600);
	fake_rig_stop(&r);
}

/* The kernel's words name the element, also one of the second call. */
static void words(void **state)
{
	ioas_iova_t taken = 0x10000000 + 300 * PAGE;
	struct ioas_seg segs[PAGES];
	struct fake_space *space;
	char expected[32];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	space = &fake.spaces[fake.devices[0].space];
	fake_fill(&r, segs, PAGES);
	for (unsigned int i = 0; i < PAGES; i++)
		segs[i].iova = 0x10000000 + i * PAGE;
	/* Something that the library does not know of. */
	space->maps[space->count++] = (struct fake_map){ .iova = taken, .length = PAGE };
	snprintf(expected, sizeof(expected), "IOVA 0x%llx", (unsigned long long)taken);
	assert_int_equal(ioas_map_batch(r.q, segs, PAGES, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
	assert_error(&r, expected);
	assert_error(&r, "iova: something is mapped there");
	assert_int_equal(space->count, 1);

	/* A kernel without words, or whose last ones were of something else. */
	fake.mute = true;
	assert_int_equal(ioas_map_batch(r.q, segs, PAGES, IOAS_RW | IOAS_MAP_FIXED), -EEXIST);
	assert_error(&r, "File exists");
	fake.mute = false;
	space->count = 0;

	/* It lost one: what is unmapped says so, and nothing of the rest is. */
	assert_int_equal(ioas_map_batch(r.q, segs, PAGES, IOAS_RW | IOAS_MAP_FIXED), PAGES);
	for (unsigned int i = 0; i < space->count; i++)
		if (space->maps[i].iova == taken)
			space->maps[i].iova = 0x80000000;
	assert_int_equal(ioas_unmap_batch(r.q, segs, PAGES), -ENOENT);
	assert_error(&r, expected);
	assert_error(&r, "not mapped: iova: nothing is mapped there");
	assert_ptr_equal(fake_dma(0, segs[0].iova, 0), segs[0].va);
	assert_ptr_equal(fake_dma(0, segs[PAGES - 1].iova, 0), segs[PAGES - 1].va);
	for (unsigned int i = 0; i < space->count; i++)
		if (space->maps[i].iova == 0x80000000)
			space->maps[i].iova = taken;
	assert_int_equal(ioas_unmap_batch(r.q, segs, PAGES), PAGES);
	fake_rig_stop(&r);
}

/* IOVAs are chosen, and fixed ones refused, by what the devices say. */
static void ranges(void **state)
{
	ioas_iova_t iova = 0xfee00000;
	struct ioas_caps caps = { .size = sizeof(caps) };
	struct fake_rig r;

	fake.last = (1ULL << 39) - 1;
	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	assert_int_equal(ioas_ctx_caps(r.ctx, &caps), 0);
	assert_int_equal(caps.iova.last, fake.last);
	assert_int_equal(caps.page_sizes, PAGE | 2 << 20);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
			 -ERANGE);
	iova = fake.last + 1;
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW | IOAS_MAP_FIXED, &iova),
			 -ERANGE);
	assert_int_equal(MAPS, 0);
	fake_rig_stop(&r);
}

/* Kinds. */

static void other_kinds(void **state)
{
	struct ioas_opts opts = { .size = sizeof(opts),
				  .kind = IOAS_KIND_CPU,
				  .aperture = { 0x100000, 0x7fffff },
				  .prot = IOAS_READ };
	const struct fake_space *space;
	ioas_iova_t iova;
	struct fake_rig r;
	size_t bytes = 1;
	uint32_t prot;
	void *va;

	fake_rig_run(&r, IOAS_KIND_PASSTHROUGH, IOAS_STRICT);
	assert_int_equal(fake.spaces[fake.devices[0].space].kind, IOASID_KIND_PASSTHROUGH);
	assert_int_equal(ioas_detach(r.dev), 0);
	fake_rig_destroy(&r);

	assert_int_equal(ioas_create(r.ctx, &opts, &r.as), 0);
	assert_int_equal(ioas_queue_create(r.as, &r.q), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	space = &fake.spaces[fake.devices[0].space];
	assert_int_equal(space->kind, IOASID_KIND_CPU);
	assert_int_equal(space->data.cpu.start, opts.aperture.start);
	assert_int_equal(space->data.cpu.last, opts.aperture.last);
	assert_int_equal(space->data.cpu.prot, IOASID_PROT_READ);
	assert_int_equal(ioas_get_aperture(r.as).last, opts.aperture.last);
	assert_int_equal(ioas_translate(r.q, (void *)0x200000, &bytes, &iova), 0);
	assert_int_equal(iova, 0x200000);
	assert_int_equal(ioas_lookup(r.q, iova, &va, &prot), 0);
	assert_ptr_equal(va, (void *)0x200000);
	assert_int_equal(prot, IOAS_READ);
	assert_int_equal(ioas_lookup(r.q, 0x800000, &va, &prot), -ENOENT);
	assert_int_equal(ioas_map(r.q, fake_page(&r, 0), PAGE, IOAS_RW, &iova), -EOPNOTSUPP);
	assert_int_equal(ioas_sync(r.as, (void *)0x300000, 3 * PAGE), 0);
	assert_int_equal(fake.synced.type, IOASID_INVAL_RANGE);
	assert_int_equal(fake.synced.iova, 0x300000);
	assert_int_equal(fake.synced.length, 3 * PAGE);
	assert_int_equal(ioas_sync(r.as, NULL, 0), 0);
	assert_int_equal(fake.synced.type, IOASID_INVAL_ALL);
	assert_int_equal(stats_of(&r).inval_crossings, 2);
	assert_int_equal(ioas_sync(r.as, (void *)0x300001, PAGE), -EINVAL);
	assert_int_equal(ioas_sync(r.as, (void *)0x300000, 5), -EINVAL);
	assert_int_equal(ioas_sync(r.as, (void *)-PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(ioas_detach(r.dev), 0);
	fake_rig_destroy(&r);

	opts = (struct ioas_opts){ .size = sizeof(opts), .kind = IOAS_KIND_VM, .vm_fd = 77 };
	assert_int_equal(ioas_create(r.ctx, &opts, &r.as), 0);
	assert_int_equal(ioas_queue_create(r.as, &r.q), 0);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	space = &fake.spaces[fake.devices[0].space];
	assert_int_equal(space->kind, IOASID_KIND_VM);
	assert_int_equal(space->data.vm.vm_fd, 77);
	assert_int_equal(ioas_lookup(r.q, 0x5000, &va, &prot), 0);
	assert_ptr_equal(va, (void *)0x40005000);
	assert_int_equal(ioas_translate(r.q, va, &bytes, &iova), -EOPNOTSUPP);
	assert_int_equal(ioas_sync(r.as, NULL, 0), 0);
	assert_int_equal(fake.synced.type, IOASID_INVAL_ALL);
	fake_rig_stop(&r);
}

static void refuse_opts(struct fake_rig *r, const struct ioas_opts *opts, int code,
			const char *field)
{
	struct ioas *as;

	assert_int_equal(ioas_create(r->ctx, opts, &as), code);
	assert_error(r, field);
}

static void fields_of_kinds(void **state)
{
	struct fake_rig r;

	fake.kinds &= ~(1ULL << IOASID_KIND_VM);
	fake_rig_open(&r);
#define OPTS(...) &(const struct ioas_opts){ .size = sizeof(struct ioas_opts), __VA_ARGS__ }
	refuse_opts(&r, OPTS(.kind = IOAS_KIND_KERNEL, .prot = IOAS_READ), -EINVAL, "prot");
	refuse_opts(&r, OPTS(.kind = IOAS_KIND_CPU, .prot = 4), -EINVAL, "prot");
	refuse_opts(&r, OPTS(.kind = IOAS_KIND_CPU, .vm_fd = 5), -EINVAL, "vm_fd");
	refuse_opts(&r, OPTS(.kind = IOAS_KIND_CPU, .aperture = { 5000, 8191 }), -EINVAL,
		    "aperture");
	refuse_opts(&r, OPTS(.kind = IOAS_KIND_VM, .vm_fd = 5), -EOPNOTSUPP, "no VM spaces");
	fake_rig_close(&r);
}

/* Events. */

static void faults(void **state)
{
	static const uint32_t reasons[][2] = {
		{ IOASID_REASON_UNKNOWN, IOAS_FAULT_UNKNOWN },
		{ IOASID_REASON_NOT_PRESENT, IOAS_FAULT_NOT_PRESENT },
		{ IOASID_REASON_PROTECTION, IOAS_FAULT_PERMISSION },
		{ IOASID_REASON_RESERVED, IOAS_FAULT_RESERVED },
		{ IOASID_REASON_PARENT, IOAS_FAULT_PARENT },
		{ IOASID_REASON_RANGE, IOAS_FAULT_ADDRESS },
		{ IOASID_REASON_MEMORY, IOAS_FAULT_MEMORY },
		{ 99, IOAS_FAULT_UNKNOWN },
	};
	const int count = sizeof(reasons) / sizeof(reasons[0]);
	struct ioasid_event_record record = { .event = IOASID_EVENT_FAULT };
	struct ioas_fault faults[128];
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 1), 0);
	record.cookie = fake.devices[0].cookie;
	record.prot = IOASID_PROT_WRITE;
	for (int i = 0; i < count; i++) {
		record.reason = reasons[i][0];
		record.address = i * PAGE + 5;
		fake_event(&record);
	}
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 128), count);
	for (int i = 0; i < count; i++) {
		assert_ptr_equal(faults[i].dev, r.dev);
		assert_int_equal(faults[i].reason, reasons[i][1]);
		assert_int_equal(faults[i].iova, i * PAGE);
		assert_int_equal(faults[i].prot, IOAS_WRITE);
	}

	/* Of no device, or of one that is not known any more; and those that were lost. */
	record = (struct ioasid_event_record){ .event = IOASID_EVENT_TABLE,
					       .reason = IOASID_REASON_RESERVED,
					       .lost = 7 };
	fake_event(&record);
	record = (struct ioasid_event_record){ .event = IOASID_EVENT_SPACE_BROKEN,
					       .cookie = 0xdead };
	fake_event(&record);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 128), 2);
	assert_null(faults[0].dev);
	assert_int_equal(faults[0].reason, IOAS_FAULT_RESERVED);
	assert_null(faults[1].dev);
	assert_int_equal(faults[1].reason, IOAS_FAULT_BROKEN);
	assert_int_equal(stats_of(&r).faults_lost, 7);
	assert_int_equal(stats_of(&r).faults, count + 2 + 7);

	/* More than are read at once. */
	for (int i = 0; i < 500; i++)
		fake_event(&record);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ioas_fault_poll(r.ctx, faults, 100), 100);
	assert_int_equal(ioas_fault_poll(r.ctx, faults, 100), 0);
	fake_rig_stop(&r);
}

static bool signalled(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) == 1;
}

static void device_gone(void **state)
{
	int removal = eventfd(0, EFD_CLOEXEC);
	struct ioas_seg segs[4];
	struct ioas_fault fault;
	struct fake_rig r;
	uint16_t value;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	assert_int_equal(ioas_pci_irq_set(r.dev, IOAS_PCI_REMOVAL, &removal, 1), 0);
	fake_fill(&r, segs, 4);
	assert_int_equal(ioas_map_batch(r.q, segs, 4, IOAS_RW), 4);
	fake_remove(0);
	assert_false(signalled(removal));
	assert_int_equal(ioas_fault_poll(r.ctx, &fault, 1), 1);
	assert_ptr_equal(fault.dev, r.dev);
	assert_int_equal(fault.reason, IOAS_FAULT_GONE);
	assert_true(signalled(removal));
	assert_non_null(strstr(r.log, "was taken away"));

	/* What needs it says so; what lets go of it works. */
	assert_int_equal(ioas_attach(r.as, r.dev), -ENODEV);
	assert_int_equal(ioas_pci_bus_master(r.dev, true), -ENODEV);
	assert_int_equal(ioas_pci_config_read(r.dev, 4, &value, 2), -ENODEV);
	assert_int_equal(ioas_unmap_batch(r.q, segs, 4), 4);
	fake_rig_stop(&r);
	close(removal);
}

/* PCI. */

static void registers(void **state)
{
	int fds[1] = { 0 };
	struct fake_rig r;

	fake_rig_run(&r, IOAS_KIND_KERNEL, IOAS_STRICT);
	assert_true(fake.devices[0].master);
	assert_int_equal(ioas_pci_bus_master(r.dev, false), 0);
	assert_false(fake.devices[0].master);
	assert_int_equal(ioas_pci_reset(r.dev), -ENOTTY);
	assert_error(&r, "cannot be reset by itself");
	assert_int_equal(ioas_pci_irq_set(r.dev, IOAS_PCI_MSIX, fds, 1), -EOPNOTSUPP);
	assert_error(&r, "poll the device");
	assert_int_equal(ioas_pci_irq_set(r.dev, IOAS_PCI_MSIX, NULL, 0), 0);
	assert_int_equal(ioas_pci_bar_map(r.dev, 6, NULL, NULL), -EINVAL);
	assert_int_equal(ioas_detach(r.dev), 0);
	assert_int_equal(ioas_pci_bus_master(r.dev, true), -EINVAL);
	assert_int_equal(ioas_attach(r.as, r.dev), 0);
	fake_rig_stop(&r);
}

/* Failures. */

/* What could not be unmapped is mapped still; of a USER space, what could not be invalidated is. */
static int map_and_unmap(const struct fake_rig *r, struct ioas_queue *q, enum ioas_kind kind)
{
	struct ioas_seg segs[2];
	int ret;

	fake_fill(r, segs, 2);
	ret = ioas_map_batch(q, segs, 2, IOAS_RW);
	if (ret < 0)
		return ret;
	ret = ioas_unmap_batch(q, segs, 2);
	if (ret < 0 && kind == IOAS_KIND_KERNEL)
		assert_int_equal(ioas_unmap_batch(q, segs, 2), 2);
	else if (ret < 0)
		assert_int_equal(ioas_flush(q), 0);
	return ret < 0 ? ret : 0;
}

/* All that a context does; what fails is returned, and what there is is taken down. */
static int all(struct fake_rig *r)
{
	const struct ioas_mem_opts mem = { .size = sizeof(mem),
					   .numa_node = IOAS_NUMA_ANY,
					   .bytes = 4 * PAGE,
					   .page_bytes = PAGE };
	const struct ioas_opts kinds[] = {
		{ .size = sizeof(kinds[0]), .kind = IOAS_KIND_KERNEL },
		{ .size = sizeof(kinds[0]), .kind = IOAS_KIND_USER },
		{ .size = sizeof(kinds[0]), .kind = IOAS_KIND_CPU },
		{ .size = sizeof(kinds[0]), .kind = IOAS_KIND_VM, .vm_fd = 3 },
		{ .size = sizeof(kinds[0]), .kind = IOAS_KIND_PASSTHROUGH },
	};
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = "ioasid", .log = fake_log, .log_arg = r
	};
	char option[32];
	int fd = fake_fd(), ret;

	memset(r, 0, sizeof(*r));
	snprintf(option, sizeof(option), "fd=%d", fd);
	opts.backend_options = option;
	ret = ioas_ctx_open(&opts, &r->ctx);
	close(fd);
	if (ret)
		return ret;
	ret = ioas_dev_bind(r->ctx, "0:0", &r->dev);
	ret = ret ?: ioas_mem_alloc(r->ctx, &mem, &r->mem);
	for (size_t i = 0; !ret && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct ioas_queue *q = NULL;
		struct ioas *as = NULL;

		ret = ioas_create(r->ctx, &kinds[i], &as);
		ret = ret ?: ioas_queue_create(as, &q);
		ret = ret ?: ioas_attach(as, r->dev);
		if (!ret && ioas_kind_ops(kinds[i].kind) & IOAS_OP_MAP)
			ret = map_and_unmap(r, q, kinds[i].kind);
		if (q)
			ioas_detach(r->dev);
		if (q)
			assert_int_equal(ioas_queue_destroy(q), 0);
		if (as)
			assert_int_equal(ioas_destroy(as), 0);
	}
	if (r->mem)
		assert_int_equal(ioas_mem_free(r->mem), 0);
	if (r->dev)
		assert_int_equal(ioas_dev_unbind(r->dev), 0);
	assert_int_equal(ioas_ctx_close(r->ctx), 0);
	return ret;
}

/* Each request fails once: an error with a text, or all went well in spite of it; and no leak. */
static void failing_requests(void **state)
{
	static const int errors[] = { ENOMEM, EIO, EINVAL };
	struct fake_rig r;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		unsigned int failures = 0, nth = 0;

		do {
			int ret;

			fake_reset();
			fake.fail_at = ++nth;
			fake.fail_with = errors[i];
			ret = all(&r);
			assert_int_equal(fake_count(), 0);
			assert_null(strstr(r.log, "IOASID_FREE"));
			assert_null(strstr(r.log, "IOASID_UN"));
			if (ret) {
				assert_int_equal(fake.fail_at, 0);
				assert_true(r.log[0]);
				failures++;
			}
		} while (!fake.fail_at);
		assert_true(failures > 15);
		print_message("# errno %d: %u of %u requests failed the whole\n", errors[i],
			      failures, nth - 1);
	}
}

static void options(void **state)
{
	static const char *const bad[] = { "colour=blue", "fd=", "fd=x", "fd=3,", "fd" };
	struct fake_rig r = { .ctx = NULL };
	struct ioas_ctx_opts opts = {
		.size = sizeof(opts), .backend = "ioasid", .log = fake_log, .log_arg = &r
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		opts.backend_options = bad[i];
		assert_int_equal(ioas_ctx_open(&opts, &r.ctx), -EINVAL);
	}
	assert_non_null(strstr(r.log, "unknown option \"colour=blue\""));
	assert_non_null(strstr(r.log, "last comma"));
	/* A file that is not the module's. */
	fake.array_max = 0;
	fake_fd();
	opts.backend_options = "fd=0";
	assert_int_equal(ioas_ctx_open(&opts, &r.ctx), -ENODEV);
	assert_non_null(strstr(r.log, "older than this library"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(batches, begin),
		cmocka_unit_test_setup(registered_once, begin),
		cmocka_unit_test_setup(batch_fails, begin),
		cmocka_unit_test_setup(words, begin),
		cmocka_unit_test_setup(ranges, begin),
		cmocka_unit_test_setup(other_kinds, begin),
		cmocka_unit_test_setup(fields_of_kinds, begin),
		cmocka_unit_test_setup(faults, begin),
		cmocka_unit_test_setup(device_gone, begin),
		cmocka_unit_test_setup(registers, begin),
		cmocka_unit_test_setup(failing_requests, begin),
		cmocka_unit_test_setup(options, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * USER spaces whose pages are 16 or 64 KiB: what the SMMU is told of them, what may be mapped, and
 * that tables lie where such an SMMU can find them.
 */
#include "nested_rig.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS 8

struct granule {
	enum ioas_format format;
	uint64_t page;
	uint64_t tg0; /* in a context descriptor */
	uint64_t tg;  /* in a command */
};

static const struct granule granules[] = {
	{ IOAS_FORMAT_ARM64_S1_16K, 16384, 2 << 6, 2 << 10 },
	{ IOAS_FORMAT_ARM64_S1_64K, 65536, 1 << 6, 3 << 10 },
};

static void start(struct fake_rig *r, const struct granule *granule)
{
	fake_rig_open(r);
	assert_int_equal(fake_rig_create(r, NULL, granule->format), 0);
	assert_int_equal(ioas_attach(r->as, r->dev), 0);
	assert_int_equal(ioas_get_page_bytes(r->as), granule->page);
}

static void *at(const struct fake_rig *r, uint64_t offset)
{
	return (char *)ioas_mem_va(r->mem) + offset;
}

/* The context descriptor is at the address that the kernel was given. */
static const uint64_t *descriptor(struct fake_rig *r)
{
	uint64_t address = fake_table(0)->data[0] & UINT64_C(0x000fffffffffffc0), va;
	void *memory;

	assert_true(kernel_lookup(r->as->parent, address, &va, NULL));
	memory = (void *)(uintptr_t)va;
	return memory;
}

static void descriptors(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct granule *granule = &granules[i];
		struct fake_rig r;

		start(&r, granule);
		assert_int_equal(descriptor(&r)[0] & 0xc0, granule->tg0);
		assert_int_equal(descriptor(&r)[1], pt_root(r.as->pt));
		fake_rig_stop(&r);
	}
	/* One that does not have it. */
	fake.devices[0].info.smmuv3.idr[5] &= ~(1U << 6);
	struct fake_rig r;

	fake_rig_open(&r);
	assert_int_equal(fake_rig_create(&r, NULL, IOAS_FORMAT_ARM64_S1_64K), -EOPNOTSUPP);
	/* One that has nothing else. */
	fake_rig_close(&r);
	fake.devices[0].info.smmuv3.idr[5] &= ~(7U << 4);
	fake.devices[0].info.smmuv3.idr[5] |= 1U << 6;
	fake_rig_start(&r);
	assert_int_equal(ioas_get_format(r.as), IOAS_FORMAT_ARM64_S1_64K);
	fake_rig_stop(&r);
}

static void invalidations(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct granule *granule = &granules[i];
		ioas_iova_t iova;
		struct fake_rig r;

		start(&r, granule);
		fake.executed = 0;
		assert_int_equal(ioas_map(r.q, at(&r, 0), 3 * granule->page, IOAS_RW, &iova), 0);
		assert_int_equal(iova % granule->page, 0);
		assert_int_equal(ioas_unmap(r.q, iova, 3 * granule->page), 0);
		assert_int_equal(fake.executed, 1);
		/* TLBI_NH_VA, (2 + 1) * 2^0 pages of that size, leaf */
		assert_int_equal(fake.entries[0][0] & 0x3fff0ff, 0x2012 & 0x3fff0ff);
		assert_int_equal(fake.entries[0][1], iova | granule->tg | 1);
		fake_rig_stop(&r);
	}
}

static void refused(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct granule *granule = &granules[i];
		struct ioas_window_opts window = { .size = sizeof(window),
						   .prot = IOAS_RW,
						   .bytes = granule->page,
						   .slot_bytes = granule->page };
		struct ioas_opts opts = { .size = sizeof(opts),
					  .kind = IOAS_KIND_USER,
					  .format = granule->format,
					  .aperture = { 0x101000, 0xffffffff } };
		ioas_iova_t iova = granule->page + 4096;
		struct ioas_window *none;
		struct ioas_mem *odd;
		struct ioas *as;
		char *memory;
		struct fake_rig r;

		start(&r, granule);
		assert_int_equal(ioas_map(r.q, at(&r, 0), 4096, IOAS_RW, &iova), -EINVAL);
		assert_non_null(strstr(ioas_queue_error(r.q), "bytes is not whole pages"));
		assert_int_equal(ioas_map(r.q, at(&r, 4096), granule->page, IOAS_RW, &iova),
				 -EINVAL);
		assert_non_null(strstr(ioas_queue_error(r.q), "va is not aligned"));
		assert_int_equal(
			ioas_map(r.q, at(&r, 0), granule->page, IOAS_RW | IOAS_MAP_FIXED, &iova),
			-EINVAL);
		assert_non_null(strstr(ioas_queue_error(r.q), "iova is not aligned"));
		assert_int_equal(ioas_unmap(r.q, granule->page, 4096), -EINVAL);
		window.va = at(&r, 0);
		assert_int_equal(ioas_window_create(r.as, &window, &none), -EOPNOTSUPP);
		assert_error(&r, "4 KiB");
		assert_int_equal(ioas_create(r.ctx, &opts, &as), -EINVAL);
		assert_error(&r, "aperture");

		/* Registered at an odd address, and a part of it at an even one. */
		memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
		memory = (char *)(((uintptr_t)memory + 65535) & ~UINT64_C(65535));
		assert_int_equal(ioas_mem_register(r.ctx, memory + 4096, 65536 * 4, &odd), 0);
		if (odd->parent_iova % 65536 != 4096) {
			int ret = ioas_map(r.q, memory + 65536, granule->page, IOAS_RW, &iova);

			assert_int_equal(ret, -EINVAL);
			assert_non_null(strstr(ioas_queue_error(r.q), "register it aligned"));
		}
		assert_int_equal(ioas_mem_free(odd), 0);
		fake_rig_stop(&r);
	}
}

static bool each_aligned(void *arg, uint64_t iova, uint64_t oa, uint64_t leaf_bytes)
{
	const struct granule *granule = arg;

	assert_int_equal((iova | oa | leaf_bytes) % granule->page, 0);
	return true;
}

/* Maps and unmaps of all sorts against a list of what there should be. */
static void random_maps(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct granule *granule = &granules[i];
		const unsigned int pages = PAGES * PAGE / granule->page;
		struct {
			ioas_iova_t iova;
			unsigned int page, count;
		} slots[SLOTS] = { { 0 } };
		unsigned int seed = i;
		struct fake_rig r;

		start(&r, granule);
		assert_int_equal(pt_root(r.as->pt) % granule->page, 0);
		for (int step = 0; step < 4000; step++) {
			unsigned int which = rand_r(&seed) % SLOTS;
			void *va;

			if (slots[which].count) {
				for (unsigned int p = 0; p < slots[which].count; p++) {
					assert_int_equal(
						ioas_lookup(r.q,
							    slots[which].iova + p * granule->page,
							    &va, NULL),
						0);
					assert_ptr_equal(va, at(&r, (slots[which].page + p) *
									    granule->page));
				}
				assert_int_equal(ioas_unmap(r.q, slots[which].iova,
							    slots[which].count * granule->page),
						 0);
				assert_int_equal(ioas_lookup(r.q, slots[which].iova, &va, NULL),
						 -ENOENT);
				slots[which].count = 0;
				continue;
			}
			slots[which].count = rand_r(&seed) % 4 + 1;
			slots[which].page = rand_r(&seed) % (pages - 4);
			/* Fixed ones in places of their own, some in one block, some far away. */
			slots[which].iova = UINT64_C(0x4000000000) * (which & 1) + 0x10000000 +
					    which * 4 * granule->page;
			assert_int_equal(
				ioas_map(r.q, at(&r, slots[which].page * granule->page),
					 slots[which].count * granule->page,
					 IOAS_RW | (rand_r(&seed) & 1 ? IOAS_MAP_FIXED : 0),
					 &slots[which].iova),
				0);
		}
		pt_each(r.as->pt, 0, UINT64_MAX, each_aligned, (void *)(uintptr_t)granule);
		for (unsigned int which = 0; which < SLOTS; which++)
			if (slots[which].count)
				assert_int_equal(ioas_unmap(r.q, slots[which].iova,
							    slots[which].count * granule->page),
						 0);
		fake_rig_stop(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SMMUV3(descriptors),
		ON_SMMUV3(invalidations),
		ON_SMMUV3(refused),
		ON_SMMUV3(random_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

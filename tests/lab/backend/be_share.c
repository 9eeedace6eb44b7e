// SPDX-License-Identifier: BSD-3-Clause
/*
 * Registered memory in several address spaces. iommufd pins and accounts a page once, however many
 * of them map it, for as long as one does; type1 once for each. Either way each mapping is its own,
 * and goes as a whole.
 */
#include "be_lab.h"

#include <errno.h>
#include <sys/resource.h>

#define PAGES  64
#define FIRST  0x10000000
#define SECOND 0x20000000

struct share {
	struct be_lab *lab;
	struct be_dev *nvme;
	struct be_space *space, *other; /* edu's, and another controller's */
	struct be_mem *mem;
	uint8_t *memory;
};

static void open_share(struct share *share, struct be_lab *lab)
{
	struct be_mem_attr attr = { .bytes = PAGES * PAGE, .page_bytes = PAGE, .fd = -1 };

	share->lab = lab;
	be_lab_open(lab);
	be_lab_bind(lab);
	if (lab->ops->dev_bind(lab->be, lab_device("nvme0"), &share->nvme))
		FAIL("bind: %s", lab->diag.text);
	share->space = be_lab_space(lab);
	share->other = be_lab_space(lab);
	CHECK(lab->ops->attach(share->space, lab->dev) == 0);
	CHECK(lab->ops->attach(share->other, share->nvme) == 0);
	share->memory = lab_buffer(PAGES * PAGE, 0, 0);
	attr.va = share->memory;
	CHECK(lab->ops->mem_add(lab->be, &attr, &share->mem) == 0);
}

static void close_share(struct share *share)
{
	struct be_lab *lab = share->lab;

	lab->ops->mem_del(share->mem);
	CHECK(lab->ops->detach(lab->dev) == 0);
	CHECK(lab->ops->detach(share->nvme) == 0);
	lab->ops->space_destroy(share->space);
	lab->ops->space_destroy(share->other);
	lab->ops->dev_unbind(share->nvme);
	be_lab_unbind(lab);
	be_lab_close(lab);
}

static void check_pins(struct share *share)
{
	struct be_lab *lab = share->lab;
	const bool shares = be_lab_is(lab, "iommufd");
	const uint64_t before = lab_pins();

	lab_step("registered memory is pinned by the first address space that maps it");
	CHECK(be_lab_map(share->space, FIRST, share->memory, PAGES * PAGE, IOAS_RW) == 0);
	CHECK(lab_pins() == before + PAGES);
	lab_step("by the second one no more; it may map a part");
	CHECK(be_lab_map(share->other, SECOND, share->memory, PAGES * PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(share->other, SECOND * 2UL, share->memory + 7 * PAGE, 5 * PAGE,
			 IOAS_READ) == 0);
	CHECK(lab_pins() == before + (shares ? PAGES : 2 * PAGES + 5));

	lab_step("mappings go as a whole, each by itself");
	CHECK(be_lab_unmap(share->other, SECOND * 2UL, PAGE) == -EINVAL);
	CHECK(be_lab_unmap(share->other, SECOND * 2UL, 5 * PAGE) == 0);
	CHECK(be_lab_reaches(lab, FIRST + 7 * PAGE, share->memory + 7 * PAGE));
	CHECK(be_lab_unmap(share->space, FIRST, PAGES * PAGE) == 0);
	CHECK(!be_lab_reaches(lab, FIRST, share->memory));
	CHECK(lab_pins() == before + PAGES);

	lab_step("what is left is another's: it can be reached there");
	be_lab_registers_close(lab);
	CHECK(lab->ops->attach(share->other, lab->dev) == 0);
	be_lab_registers_open(lab);
	CHECK(be_lab_reaches(lab, SECOND + 9 * PAGE, share->memory + 9 * PAGE));
	CHECK(be_lab_unmap(share->other, SECOND, PAGES * PAGE) == 0);
	CHECK(lab_pins() == before);
}

/* In a process of its own, since the capability does not come back. */
static void check_account(void *arg)
{
	const struct rlimit limit = { .rlim_cur = (PAGES + 2) * PAGE,
				      .rlim_max = (PAGES + 2) * PAGE };
	struct share *share = arg;
	const bool shares = be_lab_is(share->lab, "iommufd");

	be_lab_drop_memlock_capability();
	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	open_share(share, share->lab);
	CHECK(be_lab_map(share->space, FIRST, share->memory, PAGES * PAGE, IOAS_RW) == 0);
	CHECK(be_lab_map(share->other, SECOND, share->memory, PAGES * PAGE, IOAS_RW) ==
	      (shares ? 0 : -ENOMEM));
	CHECK(be_lab_unmap(share->space, FIRST, PAGES * PAGE) == 0);
	if (shares)
		CHECK(be_lab_unmap(share->other, SECOND, PAGES * PAGE) == 0);
	close_share(share);
}

int main(int argc, char **argv)
{
	struct share share = { 0 };
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	if (!lab_device("nvme0"))
		FAIL("the machine was started without an NVMe controller");
	open_share(&share, &lab);
	be_lab_registers_open(&lab);
	check_pins(&share);
	be_lab_registers_close(&lab);
	close_share(&share);

	lab_step("RLIMIT_MEMLOCK has room for it once");
	return be_lab_in_child(check_account, &share);
}

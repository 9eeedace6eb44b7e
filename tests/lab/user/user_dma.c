// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kind USER on a real kernel: page tables in memory of our own. edu judges by what it can reach;
 * the counters, by how many system calls that took; the faults, by who is told.
 */
#include "user_lab.h"

#include <stdio.h>
#include <unistd.h>

/* STRICT: mapped memory is reached, unmapped memory is not, and the owner hears of it. */
static void check_strict(struct user_lab *lab)
{
	struct user_space space;
	struct ioas_stats before, after;
	ioas_iova_t iova;

	lab_step(lab->shadowed ? "STRICT: what is mapped is reached, with one system call"
			       : "STRICT: what is mapped is reached, with no system call");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	for (int page = 0; page < 4; page++) {
		user_lab_stats(lab, &before);
		iova = user_map(&space, user_page(lab, page), IOAS_RW);
		user_lab_stats(lab, &after);
		CHECK(after.map_crossings == before.map_crossings);
		CHECK(after.inval_crossings == before.inval_crossings + lab->map_calls);
		CHECK(user_reaches(lab, iova, page));
		user_check_no_fault(lab);

		user_lab_stats(lab, &before);
		user_unmap(&space, iova);
		user_lab_stats(lab, &after);
		CHECK(after.inval_crossings == before.inval_crossings + 1);
		CHECK(!user_reaches(lab, iova, page));
		user_check_fault(lab, iova, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	}

	lab_step("read-only memory is read, not written");
	iova = user_map(&space, user_page(lab, 0), IOAS_READ);
	CHECK(lab->shadowed || user_is_read(lab, iova, 0));
	user_check_no_fault(lab);
	CHECK(!user_reaches(lab, iova, 0));
	user_check_fault(lab, iova, IOAS_FAULT_PERMISSION, IOAS_WRITE);
	user_unmap(&space, iova);
	if (!lab->shadowed) {
		CHECK(!user_is_read(lab, iova, 0));
		user_check_fault(lab, iova, IOAS_FAULT_NOT_PRESENT, IOAS_READ);
	}

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

/* BATCHED: a ticket says from when on memory is the owner's again; one call for all of a batch. */
static void check_batched(struct user_lab *lab)
{
	const int count = 200; /* fewer than a batch: nothing leaves by itself */
	struct user_space space;
	struct ioas_stats before, after;
	ioas_iova_t iova[256];
	uint64_t ticket;

	lab_step("BATCHED: many unmaps, one system call");
	user_space_open(lab, &space, IOAS_BATCHED, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	/* Two apart, so that no range has a neighbour. */
	for (int i = 0; i < count; i++)
		iova[i] = user_map(&space, user_page(lab, i), IOAS_RW);
	CHECK(user_reaches(lab, iova[7], 7));
	user_lab_stats(lab, &before);
	for (int i = 0; i < count; i += 2)
		user_unmap(&space, iova[i]);
	for (int i = 1; i < count; i += 2)
		user_unmap(&space, iova[i]);
	ticket = ioas_ticket(space.queue);
	user_lab_stats(lab, &after);
	CHECK(after.inval_crossings == before.inval_crossings);
	CHECK(!ioas_ticket_done(space.queue, ticket));
	CHECK(ioas_flush(space.queue) == 0);
	CHECK(ioas_ticket_done(space.queue, ticket));
	user_lab_stats(lab, &after);
	printf("    %d unmaps: %llu system calls\n", count,
	       (unsigned long long)(after.inval_crossings - before.inval_crossings));
	CHECK(after.inval_crossings == before.inval_crossings + 1);
	CHECK(!user_reaches(lab, iova[7], 7));
	user_check_fault(lab, iova[7], IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);

	lab_step(lab->shadowed ? "BATCHED: 2560 maps, each a system call that takes unmaps along"
			       : "BATCHED: 2560 maps and unmaps, a system call for each 256");
	user_lab_stats(lab, &before);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 128; i++)
			iova[i] = user_map(&space, user_page(lab, i), IOAS_RW);
		for (int i = 0; i < 128; i++)
			user_unmap(&space, iova[i]);
	}
	user_lab_stats(lab, &after);
	printf("    %llu maps with %llu system calls, %llu unmaps with %llu\n",
	       (unsigned long long)(after.maps - before.maps),
	       (unsigned long long)(after.map_crossings - before.map_crossings),
	       (unsigned long long)(after.unmaps - before.unmaps),
	       (unsigned long long)(after.inval_crossings - before.inval_crossings));
	CHECK(after.maps == before.maps + 2560 && after.unmaps == before.unmaps + 2560);
	CHECK(after.map_crossings == before.map_crossings);
	CHECK(after.inval_crossings - before.inval_crossings <= 10 + 2560 * lab->map_calls);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

/* More ranges than fit a call: everything is flushed instead. */
static void check_many(struct user_lab *lab)
{
	struct user_space space;
	struct ioas_stats before, after;
	struct ioas_seg segs[PAGES / 2];

	lab_step("512 scattered pages go at once");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	for (int i = 0; i < PAGES / 2; i++) {
		segs[i] = (struct ioas_seg){ .va = user_page(lab, i),
					     .bytes = PAGE,
					     .iova = UINT64_C(0x4000000000) + 2 * i * PAGE };
		if (ioas_map_batch(space.queue, &segs[i], 1, IOAS_RW | IOAS_MAP_FIXED) != 1)
			FAIL("map: %s", ioas_queue_error(space.queue));
	}
	CHECK(user_reaches(lab, segs[0].iova, 0));
	CHECK(user_reaches(lab, segs[511].iova, 511));
	user_lab_stats(lab, &before);
	CHECK(ioas_unmap_batch(space.queue, segs, PAGES / 2) == PAGES / 2);
	user_lab_stats(lab, &after);
	/* A kernel that walks the table would walk all of it for a flush. */
	CHECK(after.inval_crossings == before.inval_crossings + (lab->shadowed ? 2 : 1));
	CHECK(after.inval_flushes == before.inval_flushes + !lab->shadowed);
	CHECK(!user_reaches(lab, segs[0].iova, 0));
	user_check_fault(lab, segs[0].iova, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	CHECK(!user_reaches(lab, segs[511].iova, 511));
	user_check_fault(lab, segs[511].iova, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

static void check_window(struct user_lab *lab)
{
	const struct ioas_window_opts opts = { .size = sizeof(opts),
					       .prot = IOAS_RW,
					       .va = user_page(lab, 0),
					       .bytes = PAGES * PAGE,
					       .slot_bytes = PAGE };
	struct ioas_window *window;
	struct user_space space;
	struct ioas_stats before, after;
	uint32_t slots[64];
	ioas_iova_t iova;

	lab_step("a window: what is granted is reached, what is revoked is not");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	CHECK(ioas_window_create(space.as, &opts, &window) == 0);
	iova = ioas_window_iova(window);
	for (int i = 0; i < 64; i++)
		slots[i] = 3 * i;
	CHECK(!user_reaches(lab, iova + 3 * PAGE, 3));
	user_check_fault(lab, iova + 3 * PAGE, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	user_lab_stats(lab, &before);
	CHECK(ioas_window_grant(space.queue, window, slots, 64) == 0);
	user_lab_stats(lab, &after);
	CHECK(after.map_crossings == before.map_crossings);
	CHECK(after.inval_crossings == before.inval_crossings + lab->map_calls);
	CHECK(user_reaches(lab, iova + 3 * PAGE, 3));
	CHECK(user_reaches(lab, iova + 189 * PAGE, 189));
	user_check_no_fault(lab);
	CHECK(!user_reaches(lab, iova + 4 * PAGE, 4));
	user_check_fault(lab, iova + 4 * PAGE, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	user_lab_stats(lab, &before);
	CHECK(ioas_window_revoke(space.queue, window, slots, 64) == 0);
	user_lab_stats(lab, &after);
	CHECK(after.inval_crossings == before.inval_crossings + 1);
	CHECK(!user_reaches(lab, iova + 3 * PAGE, 3));
	CHECK(!user_reaches(lab, iova + 189 * PAGE, 189));
	user_drop_faults(lab);
	CHECK(ioas_window_destroy(window) == 0);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

/* More faults than anybody keeps: those that are not told one by one are counted. */
static void check_flood(struct user_lab *lab)
{
	const ioas_iova_t iova = UINT64_C(0x5000000000);
	struct user_space space;
	struct ioas_stats before, after;
	struct ioas_fault fault;
	int told = 0;

	lab_step("a flood of faults");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	user_lab_stats(lab, &before);
	for (int i = 0; i < 20; i++)
		edu_write_memory(&lab->edu, iova, EDU_TRANSFER_BYTES);
	usleep(100000);
	user_lab_stats(lab, &after);
	while (ioas_fault_poll(lab->ctx, &fault, 1) == 1) {
		CHECK(fault.dev == lab->dev && fault.iova == iova);
		told++;
	}
	printf("    %llu faults: %d told, %llu lost\n",
	       (unsigned long long)(after.faults - before.faults), told,
	       (unsigned long long)(after.faults_lost - before.faults_lost));
	CHECK(after.faults - before.faults == told + after.faults_lost - before.faults_lost);
	CHECK(after.faults_lost > before.faults_lost);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

int main(int argc, char **argv)
{
	static struct user_lab lab;

	user_lab_open(&lab, argc, argv);
	check_strict(&lab);
	check_batched(&lab);
	check_many(&lab);
	check_window(&lab);
	if (!lab.shadowed)
		check_flood(&lab);
	user_lab_close(&lab);
	return 0;
}

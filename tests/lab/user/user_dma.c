// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kind USER on a real kernel: page tables in memory of our own. edu judges by what it can reach;
 * the counters, by how many system calls that took; the faults, by who is told.
 */
#include "user_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* STRICT: mapped memory is reached, unmapped memory is not, and the owner hears of it. */
static void check_strict(struct user_lab *lab)
{
	struct user_space space;
	struct ioas_stats before, after;
	ioas_iova_t iova;

	lab_step("STRICT: what is mapped is reached, with no system call");
	user_space_open(lab, &space, IOAS_STRICT, NULL);
	CHECK(ioas_attach(space.as, lab->dev) == 0);
	user_lab_registers_open(lab);
	for (int page = 0; page < 4; page++) {
		user_lab_stats(lab, &before);
		iova = user_map(&space, user_page(lab, page), IOAS_RW);
		user_lab_stats(lab, &after);
		CHECK(after.map_crossings == before.map_crossings);
		CHECK(after.inval_crossings == before.inval_crossings);
		CHECK(user_reaches(lab, iova, page));
		user_check_no_fault(lab);

		user_unmap(&space, iova);
		user_lab_stats(lab, &after);
		CHECK(after.inval_crossings == before.inval_crossings + 1);
		CHECK(!user_reaches(lab, iova, page));
		user_check_fault(lab, iova, IOAS_FAULT_NOT_PRESENT, IOAS_WRITE);
	}

	lab_step("read-only memory is read, not written");
	iova = user_map(&space, user_page(lab, 0), IOAS_READ);
	CHECK(user_is_read(lab, iova, 0));
	user_check_no_fault(lab);
	CHECK(!user_reaches(lab, iova, 0));
	user_check_fault(lab, iova, IOAS_FAULT_PERMISSION, IOAS_WRITE);
	user_unmap(&space, iova);
	CHECK(!user_is_read(lab, iova, 0));
	user_check_fault(lab, iova, IOAS_FAULT_NOT_PRESENT, IOAS_READ);

	user_lab_registers_close(lab);
	CHECK(ioas_detach(lab->dev) == 0);
	user_space_close(&space);
}

int main(int argc, char **argv)
{
	static struct user_lab lab;

	user_lab_open(&lab);
	check_strict(&lab);
	user_lab_close(&lab);
	return 0;
}

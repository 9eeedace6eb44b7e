// SPDX-License-Identifier: BSD-3-Clause
/* See be_lab.h. */
#include "be_lab.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void be_lab_init(struct be_lab *lab, int argc, char **argv)
{
	static const struct be_ops *const all[] = { &type1_be_ops, &iommufd_be_ops,
						    &ioasid_be_ops };
	char why[DIAG_TEXT_BYTES] = "";

	memset(lab, 0, sizeof(*lab));
	for (size_t i = 0; argc == 2 && i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(argv[1], all[i]->name))
			lab->ops = all[i];
	if (!lab->ops)
		FAIL("usage: %s type1|iommufd|ioasid", argv[0]);
	diag_init(&lab->diag, NULL, NULL);
	lab->address = lab_device("edu");
	if (!lab->address)
		FAIL("the machine was started without edu");
	if (lab->ops->probe(why, sizeof(why)) == -ENODEV && strstr(why, "there is no /dev"))
		lab_skip("%s", why);
	lab->driver = be_lab_is(lab, "ioasid") ? "kioas" : "vfio-pci";
	lab_bind_devices(lab->driver);
}

void be_lab_open(struct be_lab *lab)
{
	if (lab->ops->open(&lab->diag, NULL, &lab->be))
		FAIL("open: %s", lab->diag.text);
}

void be_lab_close(struct be_lab *lab)
{
	lab->ops->close(lab->be);
	lab->be = NULL;
}

bool be_lab_is(const struct be_lab *lab, const char *backend)
{
	return !strcmp(lab->ops->name, backend);
}

void be_lab_bind(struct be_lab *lab)
{
	if (lab->ops->dev_bind(lab->be, lab->address, &lab->dev))
		FAIL("bind: %s", lab->diag.text);
}

void be_lab_unbind(struct be_lab *lab)
{
	lab->ops->dev_unbind(lab->dev);
	lab->dev = NULL;
}

void be_lab_registers_open(struct be_lab *lab)
{
	const struct be_pci_ops *pci = lab->ops->pci;

	if (pci->bus_master(lab->dev, true) ||
	    pci->bar_map(lab->dev, 0, &lab->registers, &lab->registers_bytes))
		FAIL("registers: %s", lab->diag.text);
	edu_open_registers(&lab->edu, lab->registers);
}

void be_lab_registers_close(struct be_lab *lab)
{
	CHECK(lab->ops->pci->bar_unmap(lab->dev, lab->registers, lab->registers_bytes) == 0);
	lab->registers = NULL;
}

struct be_space *be_lab_space(struct be_lab *lab)
{
	const struct be_space_attr attr = { .kind = IOAS_KIND_KERNEL };
	struct be_space *space;

	if (lab->ops->space_create(lab->be, &attr, &space))
		FAIL("space: %s", lab->diag.text);
	return space;
}

int be_lab_map(struct be_space *space, uint64_t iova, void *va, uint64_t bytes, uint32_t prot)
{
	const struct be_map map = { .iova = iova, .bytes = bytes, .va = va, .prot = prot };
	unsigned int done = 99, crossings = 0;
	int ret = space->be->ops->map(space, &map, 1, &done, &crossings);

	CHECK(done == (ret ? 0 : 1));
	CHECK(crossings <= 2);
	return ret;
}

int be_lab_unmap(struct be_space *space, uint64_t iova, uint64_t bytes)
{
	const struct be_unmap unmap = { .iova = iova, .bytes = bytes };
	unsigned int done = 99, crossings = 0;
	int ret = space->be->ops->unmap(space, &unmap, 1, &done, &crossings);

	CHECK(done == (ret ? 0 : 1));
	CHECK(crossings <= 1);
	return ret;
}

bool be_lab_reaches(struct be_lab *lab, uint64_t iova, uint8_t *va)
{
	return edu_reaches(&lab->edu, iova, va);
}

void be_lab_check_text(struct be_lab *lab, const char *words)
{
	if (!strstr(lab->diag.text, words))
		FAIL("the message does not say \"%s\": %s", words, lab->diag.text);
	printf("    %s\n", lab->diag.text);
	if (strlen(lab->diag.text) >= DIAG_TEXT_BYTES - 1)
		FAIL("the message is cut");
}

void be_lab_mend(struct be_lab *lab)
{
	char command[DIAG_TEXT_BYTES];
	const char *begin = strchr(lab->diag.text, '`');
	const char *end = begin ? strchr(begin + 1, '`') : NULL;

	if (!end)
		FAIL("the message has no command: %s", lab->diag.text);
	snprintf(command, sizeof(command), "%.*s", (int)(end - begin - 1), begin + 1);
	lab_run(command);
}

void be_lab_drop_memlock_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(syscall(SYS_capget, &header, data) == 0);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	CHECK(syscall(SYS_capset, &header, data) == 0);
}

int be_lab_in_child(void (*run)(void *arg), void *arg)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		run(arg);
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

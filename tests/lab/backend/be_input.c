// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a person gets wrong: the message says which file and which driver, and the command in it
 * mends the matter: it is taken from the message and run.
 */
#include "be_lab.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static void refuse(struct be_lab *lab, const char *name, int code, const char *words)
{
	struct be_dev *dev;
	int ret = lab->ops->dev_bind(lab->be, name, &dev);

	if (ret != code)
		FAIL("binding \"%s\" gives %d in place of %d", name, ret, code);
	be_lab_check_text(lab, words);
}

static void accept(struct be_lab *lab, const char *name)
{
	struct be_dev *dev;

	if (lab->ops->dev_bind(lab->be, name, &dev))
		FAIL("binding \"%s\": %s", name, lab->diag.text);
	lab->ops->dev_unbind(dev);
}

static void check_names(struct be_lab *lab)
{
	lab_step("names that are none");
	refuse(lab, "", -EINVAL, "no PCI address");
	refuse(lab, "eth0", -EINVAL, "no PCI address");
	refuse(lab, "0000:00:08", -EINVAL, "no PCI address");
	refuse(lab, "0000:00:08.0x", -EINVAL, "no PCI address");
	refuse(lab, "0000:00:08.9", -EINVAL, "no PCI address");
	refuse(lab, " 0000:00:08.0", -EINVAL, "no PCI address");
	refuse(lab, "-1:00:08.0", -EINVAL, "no PCI address");
	refuse(lab, "0000:00:08.0@", -EINVAL, "number of an open file");
	refuse(lab, "0000:00:08.0@-1", -EINVAL, "number of an open file");
	refuse(lab, "0000:00:08.0@3x", -EINVAL, "number of an open file");
	refuse(lab, "0000:00:08.0@999", -EINVAL, "number of an open file");
	refuse(lab, "0000:7f:08.0", -ENODEV, "/sys/bus/pci/devices/0000:7f:08.0");
	lab_step("an address without its domain");
	accept(lab, lab->address + strlen("0000:"));
}

static void check_driver(struct be_lab *lab)
{
	const char *nvme = lab_device("nvme0");
	char command[128];

	CHECK(nvme);
	lab_step("a device without a driver; the command mends it");
	snprintf(command, sizeof(command), "lab-bind %s none", nvme);
	lab_run(command);
	refuse(lab, nvme, -ENODEV, "bound to no driver");
	be_lab_mend(lab);
	accept(lab, nvme);

	lab_step("a device of another driver; the command mends it");
	snprintf(command, sizeof(command), "lab-bind %s none; lab-bind %s nvme", nvme, nvme);
	lab_run(command);
	refuse(lab, nvme, -EBUSY, "bound to nvme");
	be_lab_mend(lab);
	accept(lab, nvme);
}

static void check_busy(struct be_lab *lab)
{
	struct be_dev *dev;
	int pipes[2], status;
	pid_t child;

	lab_step("a device that is bound already");
	be_lab_bind(lab);
	refuse(lab, lab->address, -EBUSY, "bound already");
	refuse(lab, lab->address + strlen("0000:"), -EBUSY, "bound already");
	be_lab_unbind(lab);

	lab_step("a device of another program");
	CHECK(pipe(pipes) == 0);
	fflush(stdout);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		struct be_lab other = *lab;

		be_lab_open(&other);
		be_lab_bind(&other);
		CHECK(write(pipes[1], "", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(pipes[0], (char[1]){ 0 }, 1) == 1);
	refuse(lab, lab->address, -EBUSY, "in use by another program");
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(lab->ops->dev_bind(lab->be, lab->address, &dev) == 0);
	lab->ops->dev_unbind(dev);
	close(pipes[0]);
	close(pipes[1]);
}

/* As nobody, who is then given what the messages ask for. */
static void check_permission(struct be_lab *lab)
{
	char why[DIAG_TEXT_BYTES];
	int status, step;
	pid_t child;

	lab_step("no permission; the commands, run by root, mend it");
	for (step = 0; step < 4; step++) {
		int pipes[2];
		ssize_t got;

		CHECK(pipe(pipes) == 0);
		fflush(stdout);
		child = fork();
		CHECK(child >= 0);
		if (!child) {
			struct be_lab other = *lab;
			struct be_dev *dev;
			int ret;

			CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
			ret = other.ops->open(&other.diag, NULL, &other.be);
			if (!ret)
				ret = other.ops->dev_bind(other.be, other.address, &dev);
			if (ret && ret != -EACCES)
				FAIL("%d: %s", ret, other.diag.text);
			if (ret)
				CHECK(write(pipes[1], other.diag.text, sizeof(other.diag.text)) >
				      0);
			exit(ret ? 3 : 0);
		}
		close(pipes[1]);
		got = read(pipes[0], lab->diag.text, sizeof(lab->diag.text));
		close(pipes[0]);
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status));
		if (!WEXITSTATUS(status))
			break;
		CHECK(WEXITSTATUS(status) == 3 && got > 0);
		be_lab_check_text(lab, "no permission");
		be_lab_check_text(lab, "chown 65534");
		be_lab_mend(lab);
	}
	/* At least the device's own file is root's only. */
	CHECK(step >= 1 && step < 4);
	CHECK(lab->ops->probe(why, sizeof(why)) == 0);
	printf("    %s\n", why);
	lab_run("for f in /dev/vfio /dev/iommu /dev/kioas; do [ ! -e $f ] || chown -R 0 $f; done");
}

/* Only where the module can be taken away. */
static void check_module(struct be_lab *lab)
{
	char why[DIAG_TEXT_BYTES];

	if (!be_lab_is(lab, "type1") || system("rmmod vfio_iommu_type1 2>/dev/null"))
		return;
	lab_step("a module that is missing; the command mends it");
	CHECK(lab->ops->probe(why, sizeof(why)) == -ENODEV);
	CHECK(lab->ops->open(&lab->diag, NULL, &lab->be) == -ENODEV);
	CHECK(strstr(lab->diag.text, why));
	be_lab_check_text(lab, "modprobe vfio_iommu_type1");
	be_lab_mend(lab);
	CHECK(lab->ops->probe(why, sizeof(why)) == 0);
}

static void check_options(struct be_lab *lab)
{
	struct be *be;

	lab_step("options");
	CHECK(lab->ops->open(&lab->diag, "colour=blue", &be) == -EINVAL);
	be_lab_check_text(lab, "unknown option \"colour=blue\"");
	CHECK(lab->ops->open(&lab->diag, "", &be) == 0);
	lab->ops->close(be);
	if (be_lab_is(lab, "type1"))
		return;
	CHECK(lab->ops->open(&lab->diag, "fd=-1", &be) == -EINVAL);
	CHECK(lab->ops->open(&lab->diag, "fd=999", &be) == -EBADF);
	be_lab_check_text(lab, "file 999");
	CHECK(lab->ops->open(&lab->diag, "fd=0,", &be) == -EINVAL);
	be_lab_check_text(lab, "last comma");
	if (!be_lab_is(lab, "iommufd"))
		return;
	CHECK(lab->ops->open(&lab->diag, "huge_pages=2", &be) == -EINVAL);
	CHECK(lab->ops->open(&lab->diag, "huge_pages=", &be) == -EINVAL);
	CHECK(lab->ops->open(&lab->diag, "huge_pages=0,fd=", &be) == -EINVAL);
}

static void check_kinds(struct be_lab *lab)
{
	struct be_space_attr attr = { .kind = IOAS_KIND_PASSTHROUGH };
	struct be_space *space;
	struct be_caps caps;

	lab_step("kinds that are not offered");
	lab->ops->caps(lab->be, &caps);
	if (!(caps.kinds & 1U << attr.kind))
		CHECK(lab->ops->space_create(lab->be, &attr, &space) == -EOPNOTSUPP);
	attr = (struct be_space_attr){ .kind = IOAS_KIND_KERNEL, .format = IOAS_FORMAT_VTDSS_L4 };
	CHECK(lab->ops->space_create(lab->be, &attr, &space) == -EOPNOTSUPP);
}

int main(int argc, char **argv)
{
	struct be_lab lab;

	be_lab_init(&lab, argc, argv);
	check_module(&lab);
	check_options(&lab);
	be_lab_open(&lab);
	check_names(&lab);
	check_driver(&lab);
	check_busy(&lab);
	check_kinds(&lab);
	be_lab_close(&lab);
	check_permission(&lab);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI: addresses, events, claims, and enumeration of a bus that is a folder of ours. */
#include "env_rig.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pci.h"

static char bus[] = "/tmp/ioas-bus-XXXXXX";

static struct spdk_pci_id nvme_ids[] = {
	{ 0x010802, SPDK_PCI_ANY_ID, SPDK_PCI_ANY_ID, SPDK_PCI_ANY_ID, SPDK_PCI_ANY_ID },
	{ 0 },
};

static void write_file(const char *device, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", bus, device, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_device(const char *bdf, const char *class, const char *driver)
{
	char path[128], link[128];

	snprintf(path, sizeof(path), "%s/%s", bus, bdf);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(bdf, "class", class);
	write_file(bdf, "vendor", "0x1b36");
	write_file(bdf, "device", "0x0010");
	write_file(bdf, "subsystem_vendor", "0x1af4");
	write_file(bdf, "subsystem_device", "0x1100");
	write_file(bdf, "resource", "0x00000000fe800000 0x00000000fe803fff 0x0000000000140204\n");
	snprintf(path, sizeof(path), "%s/%s/driver", bus, bdf);
	snprintf(link, sizeof(link), "../../../bus/pci/drivers/%s", driver);
	assert_int_equal(symlink(link, path), 0);
}

static int open_bus(void **state)
{
	if (!mkdtemp(bus))
		return -1;
	ioas_env_pci_bus = bus;
	spdk_pci_driver_register("nvme", nvme_ids, 0);
	return rig_open(state);
}

static int close_bus(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", bus);
	return rig_close(state) || system(command);
}

static int count_devices(void *arg, struct spdk_pci_device *dev)
{
	++*(int *)arg;
	return 0;
}

/* The first test: there is nothing on the bus yet. */
static void an_empty_bus_is_no_error(void **state)
{
	int count = 0;

	rig_forget();
	assert_int_equal(spdk_pci_enumerate(spdk_pci_nvme_get_driver(), count_devices, &count), 0);
	assert_int_equal(count, 0);
	assert_string_equal(rig_error(), "");
	assert_int_equal(spdk_pci_enumerate(NULL, count_devices, &count), -1);
	assert_null(spdk_pci_get_driver("none"));
}

/* The kernel's devices and those of other drivers are left alone. */
static void only_what_is_free_and_fits_is_offered(void **state)
{
	struct spdk_pci_addr second = { .bus = 3 };
	int count = 0;

	make_device("0000:01:00.0", "0x010802", "nvme");
	make_device("0000:02:00.0", "0x020000", "vfio-pci");
	assert_int_equal(spdk_pci_enumerate(spdk_pci_nvme_get_driver(), count_devices, &count), 0);
	assert_int_equal(count, 0);

	/* This one is: the backend says what it is, a name of a model, and that it has no
	 * registers. */
	make_device("0000:03:00.0", "0x010802", "vfio-pci");
	assert_int_equal(spdk_pci_enumerate(spdk_pci_nvme_get_driver(), count_devices, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(spdk_pci_enumerate(spdk_pci_nvme_get_driver(), count_devices, &count), 0);
	assert_int_equal(count, 1); /* it is taken */
	assert_int_equal(
		spdk_pci_device_attach(spdk_pci_nvme_get_driver(), count_devices, &count, &second),
		-1);
}

static void look_at(void *arg, struct spdk_pci_device *dev)
{
	const struct spdk_pci_addr expected = { .bus = 3 };
	struct spdk_pci_addr addr = spdk_pci_device_get_addr(dev);
	void *va;
	uint64_t address, bytes;
	uint16_t word;

	assert_int_equal(spdk_pci_addr_compare(&addr, &expected), 0);
	assert_int_equal(spdk_pci_device_get_id(dev).class_id, 0x010802);
	assert_int_equal(spdk_pci_device_get_vendor_id(dev), 0x1b36);
	assert_int_equal(spdk_pci_device_get_device_id(dev), 0x0010);
	assert_int_equal(spdk_pci_device_get_id(dev).subdevice_id, 0x1100);
	assert_string_equal(spdk_pci_device_get_type(dev), "pci");
	assert_int_equal(ioas_env_pci_bar_address(&addr, 0), 0xfe800000);
	assert_false(spdk_pci_device_is_removed(dev));
	/* A model has no registers: errors, not crashes. */
	assert_int_equal(spdk_pci_device_map_bar(dev, 0, &va, &address, &bytes), -EOPNOTSUPP);
	assert_int_equal(spdk_pci_device_map_bar(dev, 6, &va, &address, &bytes), -EINVAL);
	assert_int_equal(spdk_pci_device_unmap_bar(dev, 0, NULL), -EINVAL);
	assert_int_equal(spdk_pci_device_cfg_read16(dev, &word, 4), -EOPNOTSUPP);
	assert_int_equal(spdk_pci_device_enable_interrupts(dev, 1), -EOPNOTSUPP);
	assert_int_equal(spdk_pci_device_enable_interrupts(dev, 0), -EINVAL);
	assert_int_equal(spdk_pci_device_get_interrupt_efd_by_index(dev, 0), -1);
	*(struct spdk_pci_device **)arg = dev;
}

/* The lock is the process's: another one meets it. */
static int claim_elsewhere(struct spdk_pci_device *dev)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(-spdk_pci_device_claim(dev));
	waitpid(child, &status, 0);
	return -WEXITSTATUS(status);
}

static void a_device_is_claimed_once(void **state)
{
	struct spdk_pci_device *dev = NULL;

	spdk_pci_for_each_device(&dev, look_at);
	assert_non_null(dev);
	assert_int_equal(spdk_pci_device_claim(dev), 0);
	assert_int_equal(claim_elsewhere(dev), -EACCES);
	spdk_pci_device_unclaim(dev);
	assert_int_equal(claim_elsewhere(dev), 0);
	spdk_pci_device_detach(dev);
	dev = NULL;
	spdk_pci_for_each_device(&dev, look_at);
	assert_null(dev);
}

static int answer(void *arg, struct spdk_pci_device *dev)
{
	return *(int *)arg;
}

/* 1: not mine, go on. -1: stop. Either way it is nobody's afterwards. */
static void a_driver_may_refuse(void **state)
{
	int answers[] = { 1, -1 }, count = 0;
	struct spdk_pci_device *dev = NULL;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			spdk_pci_enumerate(spdk_pci_nvme_get_driver(), answer, &answers[i]),
			answers[i] < 0 ? -1 : 0);
		spdk_pci_for_each_device(&dev, look_at);
		assert_null(dev);
	}
	assert_int_equal(spdk_pci_enumerate(spdk_pci_nvme_get_driver(), count_devices, &count), 0);
	assert_int_equal(count, 1);
	spdk_pci_for_each_device(&dev, look_at);
	spdk_pci_device_detach(dev);
}

static void addresses_read_and_written(void **state)
{
	static const struct {
		const char *text;
		struct spdk_pci_addr addr;
	} good[] = {
		{ "0000:00:04.0", { 0, 0, 4, 0 } }, { "10000:ff:1f.7", { 0x10000, 255, 31, 7 } },
		{ "1.2.3.4", { 1, 2, 3, 4 } },	    { "5:6.1", { 0, 5, 6, 1 } },
		{ "0001:02:03", { 1, 2, 3, 0 } },   { "7:8", { 0, 7, 8, 0 } },
	};
	static const char *const bad[] = { "",		"nvme",	     "0:0:20.0", "0:0:0.8",
					   "0:100:0.0", "0:0:0.0 x", "0:0:0.",	 "1" };
	struct spdk_pci_addr addr;
	char text[16];

	for (unsigned int i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(spdk_pci_addr_parse(&addr, good[i].text), 0);
		assert_int_equal(spdk_pci_addr_compare(&addr, &good[i].addr), 0);
	}
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(spdk_pci_addr_parse(&addr, bad[i]), -EINVAL);
	assert_int_equal(spdk_pci_addr_fmt(text, sizeof(text), &good[1].addr), 0);
	assert_string_equal(text, "10000:ff:1f.7");
	assert_true(spdk_pci_addr_fmt(text, 5, &good[1].addr) < 0);
	assert_true(spdk_pci_addr_compare(&good[0].addr, &good[1].addr) < 0);
	assert_true(spdk_pci_addr_compare(&good[1].addr, &good[0].addr) > 0);
}

#define EVENT(text) text, sizeof(text)

static void events_of_the_kernel(void **state)
{
	struct spdk_pci_event event;

	assert_int_equal(ioas_env_pci_event_read(EVENT("remove@/devices\0ACTION=remove\0"
						       "SUBSYSTEM=pci\0"
						       "PCI_SLOT_NAME=0000:03:00.0"),
						 &event),
			 1);
	assert_int_equal(event.action, SPDK_UEVENT_REMOVE);
	assert_int_equal(event.traddr.bus, 3);
	assert_int_equal(ioas_env_pci_event_read(EVENT("bind@/devices\0ACTION=bind\0"
						       "SUBSYSTEM=pci\0"
						       "PCI_SLOT_NAME=0000:03:00.0"),
						 &event),
			 1);
	assert_int_equal(event.action, SPDK_UEVENT_ADD);
	/* Bound to the kernel's driver; of something else; cut off. */
	assert_int_equal(ioas_env_pci_event_read(EVENT("bind@/devices\0ACTION=bind\0"
						       "SUBSYSTEM=pci\0"
						       "PCI_SLOT_NAME=0000:01:00.0"),
						 &event),
			 0);
	assert_int_equal(ioas_env_pci_event_read(EVENT("remove@/devices\0ACTION=remove\0"
						       "SUBSYSTEM=block"),
						 &event),
			 0);
	assert_int_equal(ioas_env_pci_event_read(EVENT("remove@/devices\0ACTION=remove\0"
						       "SUBSYSTEM=pci"),
						 &event),
			 0);
}

static void listening_for_events(void **state)
{
	struct spdk_pci_event event;
	const int fd = spdk_pci_event_listen();

	assert_true(fd >= 0);
	assert_in_range(spdk_pci_get_event(fd, &event), 0, 1);
	close(fd);
	assert_int_equal(spdk_pci_get_event(fd, &event), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_bus_is_no_error),
		cmocka_unit_test(only_what_is_free_and_fits_is_offered),
		cmocka_unit_test(a_device_is_claimed_once),
		cmocka_unit_test(a_driver_may_refuse),
		cmocka_unit_test(addresses_read_and_written),
		cmocka_unit_test(events_of_the_kernel),
		cmocka_unit_test(listening_for_events),
	};

	return cmocka_run_group_tests_name("env_pci", tests, open_bus, close_bus);
}

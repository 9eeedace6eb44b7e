/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the programs that call /dev/ioasid directly share. They run in a machine whose module kioas
 * is loaded and whose edu device belongs to it, and end at the first thing that is not as promised.
 */
#ifndef LAB_KIOAS_LAB_H
#define LAB_KIOAS_LAB_H

#include "../../../include/uapi/linux/ioasid.h"
#include "../prog/lab_prog.h"
#include "../prog/lab_state.h"

#include <stdint.h>

#define KIB  1024UL
#define MIB  (1024UL * KIB)
#define PAGE (4 * KIB)

#define RW (IOASID_MAP_READ | IOASID_MAP_WRITE)

/* Addresses that fit QEMU's 39 bits, for memory that is to be mapped at IOVA = address */
#define LOW_ADDRESS ((void *)0x2000000000UL)

struct kioas_lab {
	int fd; /* of /dev/ioasid */
	const char *address;
	int device_fd;
	uint32_t dev_id;
	struct edu edu;
};

#define EDU_COOKIE 0xc00c1e0000edUL

int kioas_open(void);
int kioas_open_device(const char *address);

/* 0 or a negative errno. */
int kioas_call(int fd, unsigned long call, void *command);

/* Opens everything, binds edu and maps its registers. It does not master the bus. */
void kioas_lab_open(struct kioas_lab *lab);
void kioas_lab_close(struct kioas_lab *lab);

int kioas_bind(int fd, int device_fd, uint64_t cookie, uint32_t *dev_id);
int kioas_unbind(int fd, uint32_t dev_id);
int kioas_control(int fd, uint32_t dev_id, enum ioasid_device_op op);
int kioas_attach(int fd, uint32_t dev_id, uint32_t ioasid);
int kioas_detach(int fd, uint32_t dev_id);
int kioas_alloc(int fd, enum ioasid_kind kind, uint32_t parent, uint32_t *ioasid);
int kioas_alloc_user(int fd, enum ioasid_format format, uint32_t parent, uint64_t root,
		     uint32_t *ioasid);
int kioas_alloc_cpu(int fd, const struct ioasid_alloc_cpu *data, uint32_t *ioasid);
int kioas_alloc_vm(int fd, int vm_fd, uint32_t *ioasid);
int kioas_free(int fd, uint32_t ioasid);
int kioas_map(int fd, uint32_t ioasid, const struct ioasid_map_entry *entries, uint32_t count);
int kioas_unmap(int fd, uint32_t ioasid, const struct ioasid_unmap_entry *entries, uint32_t count);
int kioas_invalidate(int fd, uint32_t ioasid, const struct ioasid_inval_entry *entries,
		     uint32_t count);
int kioas_lookup(int fd, uint32_t ioasid, uint64_t iova, struct ioasid_lookup *out);
int kioas_register(int fd, void *va, uint64_t length, uint32_t prot);
int kioas_unregister(int fd, void *va, uint64_t length);

/* One entry */
int kioas_map_one(int fd, uint32_t ioasid, uint64_t iova, const void *va, uint64_t length,
		  uint32_t flags);
int kioas_unmap_one(int fd, uint32_t ioasid, uint64_t iova, uint64_t length);
int kioas_invalidate_range(int fd, uint32_t ioasid, uint64_t iova, uint64_t length);
int kioas_invalidate_all(int fd, uint32_t ioasid);

/* These end the program if they fail. */
uint32_t kioas_space(int fd, enum ioasid_kind kind, uint32_t parent);
uint64_t kioas_extension(int fd, enum ioasid_extension extension);

/* The last failure of this thread: what it blames, by a field's name and an element. */
void kioas_check_why(int fd, int error, unsigned long call, const char *field, uint32_t index);

#endif

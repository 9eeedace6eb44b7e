/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words that every other header uses: addresses, kinds, formats, modes, limits.
 *
 * Source of the terms: Linux Documentation/userspace-api/iommufd.rst (IOVA, IOAS, HWPT, nesting
 * parent) and the /dev/iommu RFC v2 (kind, format and parent given at allocation).
 */
#ifndef IOAS_TYPES_H
#define IOAS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOAS_VERSION_MAJOR 0
#define IOAS_VERSION_MINOR 1
#define IOAS_VERSION_PATCH 0

/*
 * An address that a device puts on the bus. sparse treats it as a type of its own, so that it
 * cannot pass for a pointer or a length.
 */
#ifdef __CHECKER__
typedef uint64_t __attribute__((nocast)) ioas_iova_t;
#else
typedef uint64_t ioas_iova_t;
#endif

#define IOAS_IOVA_INVALID ((ioas_iova_t)UINT64_MAX)

/**
 * enum ioas_kind - where the page table of an address space comes from
 * @IOAS_KIND_KERNEL: built by the kernel (or by the software IOMMU's kernel half) from map calls
 * @IOAS_KIND_USER: built by this library in user memory, nested under a KERNEL parent
 * @IOAS_KIND_CPU: the process's own page table (SVA)
 * @IOAS_KIND_VM: the guest-physical space of a virtual machine
 * @IOAS_KIND_PASSTHROUGH: no table, IOVA equals the parent's address
 *
 * What is legal on which kind is data: see ioas_kind_ops().
 */
enum ioas_kind {
	IOAS_KIND_KERNEL = 1,
	IOAS_KIND_USER = 2,
	IOAS_KIND_CPU = 3,
	IOAS_KIND_VM = 4,
	IOAS_KIND_PASSTHROUGH = 5,
};

/* Operations that a kind may allow; a mask of these is what ioas_kind_ops() returns. */
enum ioas_op {
	IOAS_OP_MAP = 1 << 0,	    /* ioas_map() and friends, IOVA chosen by the library */
	IOAS_OP_MAP_FIXED = 1 << 1, /* IOAS_MAP_FIXED, IOAS_MAP_IDENTITY */
	IOAS_OP_UNMAP = 1 << 2,
	IOAS_OP_WINDOW = 1 << 3,     /* ioas_window_create() */
	IOAS_OP_TRANSLATE = 1 << 4,  /* virtual address to IOVA */
	IOAS_OP_LOOKUP = 1 << 5,     /* IOVA to virtual address */
	IOAS_OP_INVALIDATE = 1 << 6, /* this process says what has changed: CPU, VM: ioas_sync() */
	IOAS_OP_PARENT = 1 << 7,     /* may be the parent of another address space */
	IOAS_OP_ATTACH = 1 << 8,     /* devices may be attached */
};

/**
 * enum ioas_format - page-table format of an address space
 * @IOAS_FORMAT_NONE: the backend decides (KERNEL), or there is no table
 * @IOAS_FORMAT_X86_64_L4: x86-64 4-level, 48-bit IOVA (VT-d first stage, AMD v2)
 * @IOAS_FORMAT_X86_64_L5: x86-64 5-level, 57-bit IOVA
 * @IOAS_FORMAT_VTDSS_L4: VT-d second stage, 4 levels, 48-bit
 * @IOAS_FORMAT_VTDSS_L5: VT-d second stage, 5 levels, 57-bit
 * @IOAS_FORMAT_ARM64_S1_4K: Arm VMSAv8-64 stage 1, 4 KiB granule, 48-bit
 * @IOAS_FORMAT_ARM64_S1_16K: the same with a 16 KiB granule
 * @IOAS_FORMAT_ARM64_S1_64K: the same with a 64 KiB granule
 * @IOAS_FORMAT_AMDV1_L4: AMD host tables, 4 levels, 48-bit
 * @IOAS_FORMAT_AMDV1_L5: the same with 5 levels, 57-bit
 * @IOAS_FORMAT_AMDV1_L6: the same with 6 levels, of whose 64 bits the lower half is used
 * @IOAS_FORMAT_RISCV_SV39: RISC-V first stage, 3 levels, 39-bit
 * @IOAS_FORMAT_RISCV_SV48: the same with 4 levels, 48-bit
 * @IOAS_FORMAT_RISCV_SV57: the same with 5 levels, 57-bit
 *
 * Where addresses are sign-extended (x86-64, RISC-V) the lower half of them is used. What the
 * library can build is not what a backend can use: see ioas_caps.user_formats.
 */
enum ioas_format {
	IOAS_FORMAT_NONE = 0,
	IOAS_FORMAT_X86_64_L4 = 1,
	IOAS_FORMAT_X86_64_L5 = 2,
	IOAS_FORMAT_VTDSS_L4 = 3,
	IOAS_FORMAT_VTDSS_L5 = 4,
	IOAS_FORMAT_ARM64_S1_4K = 5,
	IOAS_FORMAT_ARM64_S1_16K = 6,
	IOAS_FORMAT_ARM64_S1_64K = 7,
	IOAS_FORMAT_AMDV1_L4 = 8,
	IOAS_FORMAT_AMDV1_L5 = 9,
	IOAS_FORMAT_AMDV1_L6 = 10,
	IOAS_FORMAT_RISCV_SV39 = 11,
	IOAS_FORMAT_RISCV_SV48 = 12,
	IOAS_FORMAT_RISCV_SV57 = 13,
	IOAS_FORMAT_COUNT,
};

/**
 * enum ioas_mode - what ioas_unmap() promises
 * @IOAS_STRICT: when unmap returns, no DMA through the unmapped IOVA can land
 * @IOAS_BATCHED: a DMA may still land until the invalidation leaves, which happens within
 *	ioas_opts.batch_max unmapped ranges or ioas_opts.batch_ns, whichever comes first. The IOVA
 *	is not handed out again, and ioas_mem_free() does not release the memory, before that.
 */
enum ioas_mode {
	IOAS_STRICT = 0,
	IOAS_BATCHED = 1,
};

/* What a device may do through a mapping. At least one; WRITE includes READ on x86, Arm and RISC-V
 * formats. */
enum ioas_prot {
	IOAS_READ = 1 << 0,
	IOAS_WRITE = 1 << 1,
	IOAS_RW = IOAS_READ | IOAS_WRITE,
};

#define IOAS_PAGE_SHIFT 12
#define IOAS_PAGE_SIZE	(UINT64_C(1) << IOAS_PAGE_SHIFT)

/**
 * struct ioas_range - a closed interval of addresses
 * @start: first address
 * @last: last address, inclusive, so that the end of the address space can be named
 */
struct ioas_range {
	uint64_t start;
	uint64_t last;
};

/* Opaque objects. */
struct ioas_ctx;
struct ioas_dev;
struct ioas_mem;
struct ioas;
struct ioas_queue;
struct ioas_window;

#ifdef __cplusplus
}
#endif
#endif

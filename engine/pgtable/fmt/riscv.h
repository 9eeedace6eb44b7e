/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RISC-V page-table entries, as the IOMMU's first stage uses them: Sv39, Sv48, Sv57.
 *
 * Sources: RISC-V Instruction Set Manual, volume II (privileged), "Sv39: Page-Based 39-bit
 * Virtual-Memory System" with its figure of an entry and 4.3.2 "Virtual Address Translation
 * Process", Sv48, Sv57; RISC-V IOMMU Architecture Specification, 3.3 "Process to translate an
 * IOVA" and the iosatp field of the device context.
 *
 *   bit 0      V     valid
 *   bit 1-3    R, W, X  all 0: points to a table. W without R is reserved, so what can be written
 *                    can be read; X 0
 *   bit 4      U     1 in a leaf: requests are user-mode unless they say otherwise. 0 in a table
 *   bit 5      G     0: belongs to its address space
 *   bit 6, 7   A, D  set here in a leaf, so that no walker writes to the table or faults for it; 0
 * in a table, where they are reserved bits 8, 9  RSW   ignored: ours bits 10-53       address, from
 * its bit 12 on bits 54-60       reserved: 0; bits 61, 62 PBMT 0: the memory's own attributes; bit
 * 63 N 0: no Svnapot, which has the troubles of Arm's contiguous hint (arm64_s1.h) V = 0: every
 * other bit is ignored
 *
 * Addresses are those of the lower canonical half: the upper one is sign-extended.
 */
#define RISCV_V (UINT64_C(1) << 0)
#define RISCV_R (UINT64_C(1) << 1)
#define RISCV_W (UINT64_C(1) << 2)
#define RISCV_X (UINT64_C(1) << 3)
#define RISCV_U (UINT64_C(1) << 4)
#define RISCV_A (UINT64_C(1) << 6)
#define RISCV_D (UINT64_C(1) << 7)

#define FMT_LEAF_LEVEL	2
#define FMT_PRESENT	RISCV_V
#define FMT_ADDRESS	UINT64_C(0x003ffffffffffc00)
#define FMT_OA_SHIFT	2
#define FMT_START	(UINT64_C(1) << 8)
#define FMT_CLAIM	(UINT64_C(1) << 9)
#define FMT_STAMP_SHIFT 1

#define FMT_TABLE(level) RISCV_V
#define FMT_LEAF(prot, level) \
	(RISCV_V | RISCV_R | RISCV_U | RISCV_A | RISCV_D | (((prot)&IOAS_WRITE) ? RISCV_W : 0))

static inline bool fmt_is_leaf(uint64_t entry, unsigned int level)
{
	return entry & (RISCV_R | RISCV_W | RISCV_X);
}

static inline uint32_t fmt_prot(uint64_t entry)
{
	return IOAS_READ | ((entry & RISCV_W) ? IOAS_WRITE : 0);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Kinds and formats as data: names, and what is legal on which. */
#include <ioas/ctx.h>

static const struct kind {
	const char *name;
	uint32_t ops;
} kinds[] = {
	[IOAS_KIND_KERNEL] = { "KERNEL", IOAS_OP_MAP | IOAS_OP_MAP_FIXED | IOAS_OP_UNMAP |
						 IOAS_OP_TRANSLATE | IOAS_OP_LOOKUP |
						 IOAS_OP_PARENT | IOAS_OP_ATTACH },
	[IOAS_KIND_USER] = { "USER", IOAS_OP_MAP | IOAS_OP_MAP_FIXED | IOAS_OP_UNMAP |
					     IOAS_OP_WINDOW | IOAS_OP_LOOKUP | IOAS_OP_INVALIDATE |
					     IOAS_OP_ATTACH },
	[IOAS_KIND_CPU] = { "CPU", IOAS_OP_TRANSLATE | IOAS_OP_LOOKUP | IOAS_OP_INVALIDATE |
					   IOAS_OP_ATTACH },
	[IOAS_KIND_VM] = { "VM", IOAS_OP_LOOKUP | IOAS_OP_INVALIDATE | IOAS_OP_ATTACH },
	[IOAS_KIND_PASSTHROUGH] = { "PASSTHROUGH",
				    IOAS_OP_TRANSLATE | IOAS_OP_LOOKUP | IOAS_OP_ATTACH },
};

static const char *const formats[IOAS_FORMAT_COUNT] = {
	[IOAS_FORMAT_NONE] = "none",
	[IOAS_FORMAT_X86_64_L4] = "x86-64 4-level",
	[IOAS_FORMAT_X86_64_L5] = "x86-64 5-level",
	[IOAS_FORMAT_VTDSS_L4] = "VT-d second stage 4-level",
	[IOAS_FORMAT_VTDSS_L5] = "VT-d second stage 5-level",
	[IOAS_FORMAT_ARM64_S1_4K] = "Arm64 stage 1 4 KiB",
	[IOAS_FORMAT_ARM64_S1_16K] = "Arm64 stage 1 16 KiB",
	[IOAS_FORMAT_ARM64_S1_64K] = "Arm64 stage 1 64 KiB",
	[IOAS_FORMAT_AMDV1_L4] = "AMD v1 4-level",
	[IOAS_FORMAT_AMDV1_L5] = "AMD v1 5-level",
	[IOAS_FORMAT_AMDV1_L6] = "AMD v1 6-level",
	[IOAS_FORMAT_RISCV_SV39] = "RISC-V Sv39",
	[IOAS_FORMAT_RISCV_SV48] = "RISC-V Sv48",
	[IOAS_FORMAT_RISCV_SV57] = "RISC-V Sv57",
};

static const struct kind *find(enum ioas_kind kind)
{
	const unsigned int count = sizeof(kinds) / sizeof(kinds[0]);

	return (unsigned int)kind < count && kinds[kind].name ? &kinds[kind] : NULL;
}

uint32_t ioas_kind_ops(enum ioas_kind kind)
{
	const struct kind *found = find(kind);

	return found ? found->ops : 0;
}

const char *ioas_kind_name(enum ioas_kind kind)
{
	const struct kind *found = find(kind);

	return found ? found->name : "unknown";
}

const char *ioas_format_name(enum ioas_format format)
{
	return (unsigned int)format < IOAS_FORMAT_COUNT ? formats[format] : "unknown";
}

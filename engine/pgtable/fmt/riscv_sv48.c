/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS 4
/* lower half of the canonical 48 bits */
#define FMT_ADDRESS_BITS 47
#define FMT_OPS		 pt_ops_riscv_sv48
#include "../walk_base.h"
#include "riscv.h"
#include "../walk.h"

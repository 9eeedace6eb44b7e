/* SPDX-License-Identifier: BSD-3-Clause */
#define FMT_LEVELS	 5
#define FMT_ADDRESS_BITS 57
#define FMT_OPS		 pt_ops_vtdss_l5
#include "../walk_base.h"
#include "vtdss.h"
#include "../walk.h"

/* SPDX-License-Identifier: BSD-3-Clause */
#include "backend.h"

#include <stddef.h>

#include "../soft/soft.h"

const struct be_ops *const be_all[] = {
	&soft_be_ops,
	NULL,
};

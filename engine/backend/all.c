/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backends, in the order in which "auto" tries them: what can do most comes first. Each of the
 * first three takes a device that is bound to its driver, so whoever has bound one has chosen.
 */
#include "backend.h"

#include <stddef.h>

#include "../soft/soft.h"

const struct be_ops *const be_all[] = {
	&iommufd_be_ops,
	&ioasid_be_ops,
	&type1_be_ops,
	&soft_be_ops,
	NULL,
};

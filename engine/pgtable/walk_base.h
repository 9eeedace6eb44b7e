/* SPDX-License-Identifier: BSD-3-Clause */
/* What a format file may rely on. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "pt_impl.h"

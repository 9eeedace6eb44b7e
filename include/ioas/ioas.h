/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that a driver needs, but for a PCI device's registers: <ioas/pci.h>. Device models on
 * the software IOMMU take <ioas/soft.h>. For migration there is <ioas/dirty.h>, for drivers that are
 * replaced as they run <ioas/handover.h>.
 */
#ifndef IOAS_IOAS_H
#define IOAS_IOAS_H

#include <ioas/types.h>
#include <ioas/ctx.h>
#include <ioas/mem.h>
#include <ioas/space.h>
#include <ioas/map.h>
#include <ioas/translate.h>
#include <ioas/regcache.h>

#endif

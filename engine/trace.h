/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Probes for perf, bpftrace and SystemTap (USDT, provider "libioas"): one nop each, whose place and
 * arguments are in a note of the file (.note.stapsdt). An argument is an operand, so take what the
 * code has at hand anyway: no call, no computation.
 *
 * Not in grant, revoke and translate. docs/guide.md lists the probes and their arguments;
 * tests/install/check-probes holds the library against that list.
 */
#ifndef ENGINE_TRACE_H
#define ENGINE_TRACE_H

#ifdef IOAS_HAVE_SDT
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>
#define TRACE(probe, ...) STAP_PROBEV(libioas, probe, __VA_ARGS__)
#else
#define TRACE(probe, ...) ((void)0)
#endif

#endif

#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nvme-kill BACKEND KIND: kills the driver under load, in each mode. What it had pinned must be free
# afterwards, and the next driver must find a controller that it can start.

# shellcheck source=tests/lab/nvme/common.sh
. /lab/bin/nvme-common

set -- --device "$LAB_NVME0" --backend "$backend" --kind "$kind" --depth 64 --block 32K
nvme "$@" --bytes 1M >"$log" 2>&1
[ $? != 77 ] || exit 77
modes=0 most=0
for mode in static strict batched; do
	before=$(pins)
	start_load "$@" --mode $mode
	during=$(pins)
	kill -9 $driver
	wait $driver
	status=$?
	[ $status = 137 ] || fail "$mode: it ended by itself, status $status"
	[ "$during" -gt "$before" ] || fail "$mode: nothing was pinned: $during"
	within 5 pins_are_gone || fail "$mode: $(pins) pins are left, there were $before before"
	nvme "$@" --mode $mode --bytes 16M >"$log" 2>&1 ||
		fail "$mode: the next driver does not work"
	modes=$((modes + 1))
	[ $((during - before)) -le $most ] || most=$((during - before))
done
echo "KILL backend=$backend kind=$kind modes=$modes pins_under_load=$most pins_left=0"

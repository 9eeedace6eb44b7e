#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nvme-kill BACKEND KIND: kills the driver under load, in each mode. What it had pinned must be free
# afterwards, and the next driver must find a controller that it can start.

backend=$1 kind=$2

pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { got = $2 } $1 == "nr_foll_pin_released" { gone = $2 }
		END { print got - gone }' /proc/vmstat
}

fail() {
	echo "nvme-kill: $*" >&2
	cat /tmp/nvme-kill.log >&2
	exit 1
}

# within SECONDS COMMAND...
within() {
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

under_load() {
	grep -qs ' requests, [1-9][0-9]* of .* MiB read back, 0 errors' /tmp/nvme-kill.log
}

pins_are_gone() {
	[ "$(pins)" -eq "$before" ]
}

set -- --device "$LAB_NVME0" --backend "$backend" --kind "$kind" --depth 64 --block 32K
nvme "$@" --bytes 1M >/tmp/nvme-kill.log 2>&1
[ $? != 77 ] || exit 77
modes=0 most=0
for mode in static strict batched; do
	before=$(pins)
	nvme "$@" --mode $mode --bytes 1T 2>/tmp/nvme-kill.log &
	driver=$!
	within 60 under_load || fail "$mode: no load"
	during=$(pins)
	kill -9 $driver
	wait $driver
	status=$?
	[ $status = 137 ] || fail "$mode: it ended by itself, status $status"
	[ "$during" -gt "$before" ] || fail "$mode: nothing was pinned: $during"
	within 5 pins_are_gone || fail "$mode: $(pins) pins are left, there were $before before"
	nvme "$@" --mode $mode --bytes 64M >/tmp/nvme-kill.log 2>&1 ||
		fail "$mode: the next driver does not work"
	modes=$((modes + 1))
	[ $((during - before)) -le $most ] || most=$((during - before))
done
echo "KILL backend=$backend kind=$kind modes=$modes pins_under_load=$most pins_left=0"

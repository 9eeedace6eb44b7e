#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# nvme-remove BACKEND KIND MODE...: takes the controller from the driver under load: resets it behind
# the driver's back, and has the kernel remove it. The driver says so and ends, soon; nothing stays
# pinned; with the controller back, the next driver finds one that it can start.

# shellcheck source=tests/lab/nvme/common.sh
. /lab/bin/nvme-common

shift 2
modes=$*
device=/sys/bus/pci/devices/$LAB_NVME0
SOON=10 # seconds; a command that is lost is waited for three times as long

driver_is_gone() {
	! kill -0 "$driver" 2>/dev/null
}

device_is_gone() {
	[ ! -e "$device" ]
}

check_end() { # MODE WORDS
	within $SOON driver_is_gone || fail "$1: the driver hangs"
	wait "$driver"
	[ $? = 1 ] || fail "$1: exit status"
	grep -q "$2" "$log" || fail "$1: no message"
	grep -q 'stays open\|is still mapped' "$log" && fail "$1: something is left"
	within 5 pins_are_gone || fail "$1: $(pins) pins are left, there were $before before"
}

check_next() { # ARGUMENTS...
	nvme "$@" --bytes 16M >"$log" 2>&1 || fail "the next driver does not work"
}

set -- --device "$LAB_NVME0" --backend "$backend" --kind "$kind" --depth 64 --block 32K
nvme "$@" --bytes 1M >"$log" 2>&1
[ $? != 77 ] || exit 77
resets=0 removals=0
for mode in $modes; do
	before=$(pins)
	start_load "$@" --mode $mode
	echo 1 >"$device/reset" || fail "$mode: reset"
	check_end $mode 'was reset by somebody else\|registers read all ones'
	check_next "$@" --mode $mode
	resets=$((resets + 1))

	start_load "$@" --mode $mode
	echo 1 >"$device/remove" &
	check_end $mode 'is to be removed: letting go of it'
	within $SOON device_is_gone || fail "$mode: the device stays"
	echo 1 >/sys/bus/pci/rescan
	lab-bind "$LAB_NVME0" vfio-pci || fail "$mode: it does not come back"
	check_next "$@" --mode $mode
	removals=$((removals + 1))
done
echo "REMOVE backend=$backend kind=$kind resets=$resets removals=$removals"

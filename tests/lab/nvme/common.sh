#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What nvme-kill and nvme-remove share; sourced with BACKEND KIND as arguments.
# shellcheck disable=SC2034,SC2154 # theirs to use, theirs to set

log=/tmp/nvme-test.log
backend=$1 kind=$2

pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { got = $2 } $1 == "nr_foll_pin_released" { gone = $2 }
		END { print got - gone }' /proc/vmstat
}

fail() {
	echo "$0: $*" >&2
	cat "$log" >&2
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
	grep -qs ' requests, [1-9][0-9]* of .* MiB read back, 0 errors' "$log"
}

pins_are_gone() {
	[ "$(pins)" -eq "$before" ]
}

start_load() { # ARGUMENTS...
	nvme "$@" --bytes 1T --progress 100 2>"$log" &
	driver=$!
	within 60 under_load || fail "no load"
}

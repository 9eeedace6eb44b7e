#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# forward NAME DRIVER NIC0 NIC1 SETTINGS PACKETS ROGUE: dpdk-testpmd between two NICs, with our library
# as a plug-in if there are SETTINGS (of --vdev=ioas0; "plain": without). When PACKETS have been
# forwarded and all is quiet, the ports are stopped, so that all buffers are free; ROGUE=1: then NIC0
# gets its old receive ring back, as a driver would do it that forgot to stop its device.
#
# Lines for the host: WIRE NAME (send now), ROGUE NAME (send what is to land nowhere), PMD ... (result).

name=$1 driver=$2 nic0=$3 nic1=$4 settings=$5 packets=$6 rogue=$7
log=/tmp/testpmd.log
token='rogue-device-was-here'

fail() {
	echo "forward: $name: $*"
	cat "$log"
	exit 1
}

say() {
	echo "$*" >&3
}

# within SECONDS COMMAND...
within() {
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] && kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
}

started() {
	grep -q 'Press enter\|testpmd> ' "$log" && grep -q 'Checking link statuses' "$log"
}

# Packets that were sent, as testpmd counts them.
transmitted() {
	say show fwd stats all
	sleep 0.3
	awk '/Accumulated/ { all = 1 } all && /TX-packets:/ { sum = $2; all = 0 } END { print sum + 0 }' \
		"$log"
}

quiet() {
	before=$now
	now=$(transmitted)
	[ "$now" -ge "$packets" ] && [ "$now" = "$before" ]
}

# Reported by the kernel in its log, or by the library, which has them from the backend.
faults() {
	echo $(($(dmesg | grep -c 'DMAR: \[DMA Write') + $(grep -c 'ioas: fault: ' "$log")))
}

for nic in "$nic0" "$nic1"; do
	lab-bind "$nic" "$driver" || fail "cannot bind $nic"
done
chmod 755 / # EAL loads nothing from below a folder that everybody may write to
rm -f /tmp/in /tmp/ring
mkfifo /tmp/in
plugin=
[ "$settings" = plain ] || plugin="-d /lab/dpdk/librte_ioas.so --vdev=ioas0,$settings
	--mbuf-pool-ops-name=ioas"
# shellcheck disable=SC2046,SC2086 # words
/lab/bin/dpdk-testpmd -l 0,1 --in-memory -m 192 --iova-mode=va -a "$nic0" -a "$nic1" \
	$(printf ' -d %s' /lab/dpdk/librte_[mn]e*.so*) $plugin \
	-- -i --auto-start --mbcache=0 --total-num-mbufs=4096 --no-lsc-interrupt \
	</tmp/in >"$log" 2>&1 &
pid=$!
exec 3>/tmp/in
within 20 started || fail "testpmd does not start"
echo "WIRE $name"
now=0
within 60 quiet || fail "no traffic"

landed=none stopped=none
if [ "$rogue" = 1 ]; then
	rogue save "$pid" "$nic0" /tmp/ring || fail "no ring"
fi
say stop
say port stop all
within 20 grep -q 'Stopping ports' "$log" || fail "ports do not stop"
sleep 0.5
if [ "$rogue" = 1 ]; then
	before=$(faults)
	rogue arm "$pid" "$nic0" /tmp/ring || fail "no ring"
	sleep 0.3
	echo "ROGUE $name"
	sleep 1
	landed=$(rogue look "$pid" "$nic0" /tmp/ring "$token") || fail "no buffers"
	landed=$(echo "$landed" | cut -d' ' -f2) stopped=$(($(faults) - before))
fi
say quit
within 20 grep -q 'Bye' "$log"
wait "$pid" || fail "testpmd ended with $?"
exec 3>&-
calls=$(sed -n 's/.*ioas: mode \([a-z]*\) on \([a-z0-9]*\): \(.*\)/used=\1 backend=\2 \3/p' "$log")
[ -z "$LAB_VERBOSE" ] || cat "$log"
grep 'ioas: ' "$log"
echo "PMD name=$name transmitted=$now landed=$landed faults_seen=$stopped $calls"

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""net_ioas through unmodified dpdk-testpmd: what comes in goes out, in every mode, unchanged;
the rogue device; bad input.

usage: net_test.py --driver LIBRTE_IOAS.SO [CASE...]
"""
import argparse
import json
import os
import shutil
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../scripts"))

from ioas_testpmd import (PROMPT, Problem, Testpmd, private_copy,  # noqa: E402
                          private_folder, reserve_hugepages)

PROTECTING = ("percall", "strict", "batched")
MODES = ("passthrough", "static") + PROTECTING


class Failure(Exception):
    pass


def check(good, text):
    if not good:
        raise Failure(text)


def write_pcap(path, frames, link=1):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
        for frame in frames:
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def read_pcap(path):
    with open(path, "rb") as f:
        data = f.read()
    frames, at = [], 24
    while at < len(data):
        size = struct.unpack_from("<IIII", data, at)[2]
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return frames


def frame(number, size):
    body = bytes((number * 7 + i) & 0xFF for i in range(size - 18))
    return bytes.fromhex("020000000002020000000001") + b"\x88\xb5" + struct.pack(">I", number) + body


class Test:
    def __init__(self, driver, folder):
        self.driver = driver
        self.folder = folder
        cpus = sorted(os.sched_getaffinity(0))
        self.cpus = (cpus * 2)[:2]

    def path(self, name):
        return os.path.join(self.folder, name)

    def testpmd(self, mode, vdevs, app=(), pool=None, **more):
        pool = pool or ("ioas" if mode in PROTECTING else None)
        eal = [f"--mbuf-pool-ops-name={pool}"] if pool else []
        # testpmd throws away what is in the rx queues when it starts, up to all of a short feed.
        return Testpmd(self.driver, [f"mode={mode},{v}" if v else f"mode={mode}" for v in vdevs],
                       self.cpus, eal=eal,
                       app=["--total-num-mbufs=4096", "--no-flush-rx", *app], **more)

    def run(self, mode, vdevs, until, app=(), seconds=10, **more):
        """Run until @until(sample) or time is up. Return: last sample, log."""
        tp = self.testpmd(mode, vdevs, app, **more)
        try:
            tp.until(PROMPT, 30)
            deadline = time.monotonic() + seconds
            sample = tp.sample()
            while not until(sample) and time.monotonic() < deadline:
                time.sleep(0.1)
                sample = tp.sample()
            check(until(sample), f"mode {mode}: did not get there in {seconds} s:\n{sample}")
            tp.quit()
            return sample, tp.log.decode(errors="replace").replace("\r", "")
        finally:
            tp.close()

    def refused(self, mode, vdevs, wanted, app=(), **more):
        """testpmd must not get ports to run, and the log must say @wanted."""
        tp = self.testpmd(mode, vdevs, app, **more)
        try:
            try:
                tp.until(PROMPT, 30)
                tp.quit()
            except Problem:
                pass
            log = tp.log.decode(errors="replace").replace("\r", "")
        finally:
            tp.close()
        check(any(wanted in line for line in log.split("\n") if "ioas: " in line),
              f"mode {mode}, {vdevs}: no '{wanted}' in:\n{log}")

    # Cases ----------------------------------------------------------------------------------------

    def case_content(self):
        """A capture goes in at one port and comes out of the other, byte for byte, in order."""
        sizes = [60, 61, 64, 127, 128, 129, 594, 1000, 1514, 1518]
        frames = [frame(i, sizes[i % len(sizes)]) for i in range(100)]
        write_pcap(self.path("in.pcap"), frames)
        # With a device thread on a busy machine testpmd may meet a full tx ring and drop packets, as
        # with any NIC; fewer packets than the ring holds cannot fill it.
        for mode in MODES:
            for thread, count, small in (("", 1000, ["--rxd=64", "--txd=64", "--mbcache=0"]),
                                         (",thread=1", 400, ["--rxd=64", "--mbcache=0"])):
                for extra in ([], small):
                    self.content(mode, thread, count, extra, frames)

    def content(self, mode, thread, count, extra, frames):
        out = self.path("out.pcap")
        s, _ = self.run(mode, [f"rx_pcap={self.path('in.pcap')},count={count}{thread}",
                               f"tx_pcap={out}{thread}"],
                        lambda s: s[1]["tx_good_packets"] == count, extra)
        got = read_pcap(out)
        what = f"mode {mode}{thread} {extra}"
        check(len(got) == count, f"{what}: {len(got)} packets of {count}")
        for i, one in enumerate(got):
            check(one == frames[i % len(frames)], f"{what}: packet {i} differs")
        check(s[0]["ioas_faults"] == 0, f"{what}: faults")
        check(s[0]["ioas_pool_errors"] == 0, f"{what}: pool errors")

    def case_verify(self):
        """Both directions at full speed, contents and order checked, several queues."""
        for mode in MODES:
            for thread in ("", ",thread=1"):
                for queues in (1, 4):
                    feed = f"gen=imix,verify=1{thread}"
                    s, _ = self.run(mode, [feed, feed],
                                    lambda s: min(p["tx_verified"] for p in s.values()) > 200000,
                                    [f"--rxq={queues}", f"--txq={queues}", "--mbcache=0",
                                     "--total-num-mbufs=16384"])
                    for port in s.values():
                        check(port["tx_verify_errors"] == 0 and port["ioas_faults"] == 0,
                              f"mode {mode}{thread} {queues} queues: {port}")

    def case_verify_notices(self):
        """The check of contents must fail where contents change on the way."""
        feed = "gen=64,verify=1"
        s, _ = self.run("batched", [feed, feed], lambda s: s[0]["tx_verify_errors"] > 100,
                        ["--forward-mode=macswap", "--mbcache=0"])
        check(s[0]["tx_verified"] == 0, "swapped addresses pass as unchanged")

    def case_peer(self):
        """What one port transmits its peer receives."""
        out = self.path("peer.pcap")
        s, _ = self.run("batched", ["gen=imix,count=400", "peer=net_ioas2", "peer=net_ioas1",
                                    f"tx_pcap={out}"],
                        lambda s: s[3]["tx_good_packets"] == 400)
        sizes = [len(f) for f in read_pcap(out)]
        check(sizes.count(1514) == 33 and sizes.count(594) == 133, f"sizes {sizes[:24]}")

    def case_segments(self):
        """Packets of several buffers, and rings that end in the middle of one."""
        s, _ = self.run("batched", ["", ""], lambda s: s[0]["tx_good_packets"] > 10000,
                        ["--forward-mode=txonly", "--txpkts=64,64,128", "--txd=64"])
        check(s[0]["tx_dma_faults"] == 0, f"faults: {s[0]}")

    def rogue(self, mode, options="", app=("--mbcache=0",)):
        result = self.path("rogue.json")
        self.run(mode, [f"gen=64,rogue=64,rogue_file={result}{options}", "gen=64"],
                 lambda s: s[0]["tx_good_packets"] > 20000, app)
        with open(result) as f:
            return json.load(f)

    def case_rogue(self):
        """Writes to returned buffers land where nothing protects, and nowhere else."""
        for mode in MODES:
            r = self.rogue(mode)
            check(r["writes"] == 64, f"{mode}: {r}")
            if mode in PROTECTING:
                check(r["blocked"] == 64 and r["faults"] == 64 and r["overwritten"] == 0,
                      f"{mode}: {r}")
            else:
                check(r["overwritten"] == 64 and r["landed"] == 64, f"{mode}: {r}")

    def case_rogue_mutant(self):
        """A test of the test: with invalidations lost, the rogue device must get through."""
        result = self.path("rogue.json")
        feed = "gen=64,count=64"
        tp = ["--mbcache=0", "--rxd=64", "--txd=64"]
        self.run("batched",
                 [f"{feed},rogue=64,rogue_file={result},backend_options=[break=drop-inval]",
                  ""], lambda s: s[1]["tx_good_packets"] == 64, tp)
        with open(result) as f:
            r = json.load(f)
        check(r["landed"] > 0, f"lost invalidations go unnoticed: {r}")

    def case_cached_pool(self):
        """DPDK's own cache keeps buffers visible: said in the documentation, so it must be so."""
        r = self.rogue("batched", app=("--mbcache=250",))
        check(r["landed"] + r["blocked"] == 64, f"{r}")

    def case_cache_refused(self):
        """Told by default; an error where IOAS_DPDK asks for that."""
        for mode in PROTECTING:
            wanted = "cache_size 250: up to 375 free buffers"
            self.refused(mode, ["gen=64", ""], wanted, ["--mbcache=250"],
                         env={"IOAS_DPDK": "cache=refuse"})
            _, log = self.run(mode, ["gen=64", "gen=64"], lambda s: s[0]["tx_good_packets"] > 1000,
                              ["--mbcache=250"])
            check(wanted in log, f"mode {mode}: no '{wanted}' in\n{log}")
        self.refused("batched", [""], "IOAS_DPDK: cache=never: want warn or refuse",
                     env={"IOAS_DPDK": "cache=never"})

    def crossings(self, mode):
        """Kernel crossings for each packet, in steady state at bursts of 32."""
        first = {}

        def enough(s):
            first.setdefault("s", s)
            return s[0]["tx_count"] - first["s"][0]["tx_count"] > 300000
        s, _ = self.run(mode, ["gen=64", "gen=64"], enough, ["--mbcache=0", "--burst=32"])
        packets = sum(s[p]["tx_count"] - first["s"][p]["tx_count"] for p in (0, 1))
        return (s[0]["ioas_crossings"] - first["s"][0]["ioas_crossings"]) / packets

    def case_crossings(self):
        """What each mode pays. BATCHED may pay nothing: the pool hands out last what it got first."""
        for mode, least, most in (("static", 0, 0), ("percall", 1.9, 2.1), ("strict", 1 / 64, 1 / 16),
                                  ("batched", 0, 0.01)):
            each = self.crossings(mode)
            check(least <= each <= most, f"{mode}: {each} crossings a packet")

    def case_bad_captures(self):
        """Each message names the file."""
        good = self.path("good.pcap")
        write_pcap(good, [frame(i, 100) for i in range(10)])
        with open(good, "rb") as f:
            data = f.read()
        cases = {"empty.pcap": b"", "short-header.pcap": data[:10], "no-packet.pcap": data[:24],
                 "truncated.pcap": data[:-7], "cut-header.pcap": data[:24 + 8],
                 "text.pcap": b"this is no capture at all, but some text\n" * 10}
        for name, content in cases.items():
            with open(self.path(name), "wb") as f:
                f.write(content)
            self.refused("batched", [f"rx_pcap={self.path(name)}", ""], self.path(name))
        write_pcap(self.path("wifi.pcap"), [frame(0, 100)], link=105)
        self.refused("batched", [f"rx_pcap={self.path('wifi.pcap')}", ""], "link type")
        write_pcap(self.path("jumbo.pcap"), [frame(0, 9000)])
        self.refused("batched", [f"rx_pcap={self.path('jumbo.pcap')}", ""], "jumbo.pcap")
        self.refused("batched", [f"rx_pcap={self.path('missing.pcap')}", ""], "missing.pcap")
        self.refused("batched", [f"tx_pcap={self.path('no/such/folder.pcap')}", ""], "folder.pcap")

    def case_bad_options(self):
        """Each message names the key."""
        for options, wanted in (("colour=red", "colour"), ("gen=0", "gen=0"),
                                ("gen=64k", "gen=64k"), ("verify=yes", "verify=yes"),
                                ("gen=64,gen=65", "'gen' is given more than once"),
                                ("batch_max=5000", "batch_max=5000"),
                                ("batch_ns=5", "batch_ns=5"), ("cpu=1", "cpu needs thread=1"),
                                ("rogue_file=/x", "rogue_file needs rogue"),
                                ("gen=64,peer=net_ioas1", "exclude each other"),
                                ("count=", "'count' has no value"), ("rogue=-1", "rogue=-1"),
                                ("backend=quantum", "quantum"),
                                ("backend_options=[iotlb_sets=3]", "iotlb_sets"),
                                ("mode=batched,mode=static", "'mode' is given more than once")):
            tp_vdevs = [options, ""]
            tp = Testpmd(self.driver, tp_vdevs, self.cpus, eal=["--mbuf-pool-ops-name=ioas"],
                         app=["--total-num-mbufs=4096"])
            try:
                try:
                    tp.until(PROMPT, 30)
                    tp.quit()
                except Problem:
                    pass
                log = tp.log.decode(errors="replace")
            finally:
                tp.close()
            check(any(wanted in line for line in log.split("\n") if "ioas: " in line),
                  f"{options}: no '{wanted}' in:\n{log}")

    def case_contradiction(self):
        """One process, one mode."""
        tp = Testpmd(self.driver, ["mode=batched", "mode=static"], self.cpus,
                     eal=["--mbuf-pool-ops-name=ioas"], app=["--total-num-mbufs=4096"])
        try:
            try:
                tp.until(PROMPT, 30)
            except Problem:
                pass
            check(b"mode: differs from" in tp.log, tp.log.decode(errors="replace"))
        finally:
            tp.close()

    def case_environment(self):
        """IOAS_DPDK gives what devargs leave out; strict as well."""
        tp = Testpmd(self.driver, ["gen=64", "gen=64"], self.cpus,
                     app=["--total-num-mbufs=4096"], env={"IOAS_DPDK": "mode=passthrough"})
        try:
            tp.until(PROMPT, 30)
            check(b"mode passthrough on backend" in tp.log, tp.log.decode(errors="replace"))
            tp.quit()
        finally:
            tp.close()
        self.refused("batched", [""], "IOAS_DPDK: unknown key 'speed'",
                     env={"IOAS_DPDK": "speed=9"})

    def case_foreign_pool(self):
        """Buffers that this driver cannot hide are refused, with the fix."""
        for mode in PROTECTING:
            self.refused(mode, ["gen=64", ""], "--mbuf-pool-ops-name=ioas", pool="ring_mp_mc")

    def case_small_pool(self):
        """Too few buffers: drops and a counter, no hang and no crash."""
        s, _ = self.run("batched", ["gen=64", "gen=64"],
                        lambda s: s[0]["rx_mbuf_allocation_errors"] > 0
                        and s[0]["tx_good_packets"] > 10000,
                        ["--total-num-mbufs=1100", "--mbcache=0", "--rxd=512", "--txd=512"])
        check(s[0]["tx_dma_faults"] == 0, f"{s[0]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    folder = None
    failed = 0
    try:
        reserve_hugepages()
        folder = private_folder()
        test = Test(private_copy(args.driver, folder), folder)
        names = args.cases or [n[5:] for n in dir(test) if n.startswith("case_")]
        for name in names:
            start = time.monotonic()
            try:
                getattr(test, "case_" + name)()
                verdict = "ok"
            except (Failure, Problem) as e:
                verdict = f"FAILED\n{e}"
                failed += 1
            print(f"{name}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    except Problem as e:
        print(f"skipped: {e}")
        return 77
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

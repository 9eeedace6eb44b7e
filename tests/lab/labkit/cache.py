# SPDX-License-Identifier: BSD-3-Clause
"""The cache folder: what it is called, how a thing gets into it, and how long steps are shown.

An artifact is a folder <cache>/<name>-<key>. Its key is a hash of everything it is made from, and
a file `.complete` in it, written last, says that it may be used. One process makes an artifact
under a file lock; others wait for it. Finished artifacts are never changed again; what has been used
last, `.complete` was touched last, and what has not been for UNUSED_DAYS is dropped.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

UNUSED_DAYS = 14

LAB_DIR = Path(__file__).resolve().parent.parent
REPOSITORY = LAB_DIR.parent.parent


# depmod and others live there; not every root has these in PATH.
os.environ["PATH"] += ":/usr/sbin:/sbin"


class LabError(Exception):
    """Something that the lab itself could not do, in words for its user."""


def cache_dir():
    base = os.environ.get("IOAS_CACHE") or Path.home() / ".cache" / "libioas"
    path = Path(base).resolve() / "lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name):
    """Holds <cache>/locks/<name>; says so when it has to wait for another process."""
    folder = cache_dir() / "locks"
    folder.mkdir(exist_ok=True)
    with open(folder / name, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that prepares {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Artifact:
    """A folder of the cache. `inputs` (anything JSON can write) decide its key; `make(path)`
    fills it. With `resume`, what an interrupted attempt left is kept for the next one."""

    def __init__(self, name, inputs, make, needs=(), resume=False):
        self.name = name
        self.make = make
        self.needs = tuple(needs)
        self.resume = resume
        seed = json.dumps([name, inputs, [need.key for need in self.needs]], sort_keys=True)
        self.key = hashlib.sha256(seed.encode()).hexdigest()[:12]

    @property
    def path(self):
        return cache_dir() / f"{self.name}-{self.key}"

    @property
    def ready(self):
        return (self.path / ".complete").exists()

    def touch(self):
        """It is in use, and what it was made from with it: a kernel's build refers to its source."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path / ".complete")
        for need in self.needs:
            need.touch()

    def prepare(self):
        """Makes the artifact, and first what it needs, unless it is there."""
        self.touch()
        if self.ready:
            return self.path
        for need in self.needs:
            need.prepare()
        with locked(self.name):
            if self.ready:
                return self.path
            if self.path.exists() and not self.resume:
                shutil.rmtree(self.path)
            self.path.mkdir(exist_ok=True)
            started = time.monotonic()
            say(f"{self.name}: preparing")
            self.make(self.path)
            seconds = time.monotonic() - started
            (self.path / ".complete").write_text(f"{seconds:.1f} s\n")
            say(f"{self.name}: ready after {seconds:.0f} s")
        return self.path


def unused_since(folder):
    """When an artifact was used last, or when work on it stopped."""
    stamp = folder / ".complete"
    return (stamp if stamp.exists() else folder).stat().st_mtime


def drop_unused():
    """Deletes the artifacts that nothing has used for UNUSED_DAYS. New sources make new ones with each
    change of theirs, so that old ones would stay for ever."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for folder in cache_dir().iterdir():
        match = re.fullmatch(r"(.+)-[0-9a-f]{12}", folder.name)
        if not match or unused_since(folder) > oldest:
            continue
        with locked(match[1]):
            with contextlib.suppress(FileNotFoundError):    # another process was faster
                if unused_since(folder) <= oldest:
                    say(f"{folder.name}: not used for {UNUSED_DAYS} days, dropped")
                    shutil.rmtree(folder)


def run(command, log=None, **options):
    """Runs a command to its end. Its output goes to `log`, whose tail is shown if it fails."""
    command = [str(word) for word in command]
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        **options)
    if log:
        with open(log, "a") as file:
            file.write(f"+ {' '.join(command)}\n{done.stdout}")
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise LabError(f"{' '.join(command[:6])} ... failed ({done.returncode}):\n{tail}")
    return done.stdout


def run_shown(command, what, log):
    """Runs a long command, with a line of progress now and then: how many lines of output it has
    written and the last of them. The whole output goes to `log`."""
    command = [str(word) for word in command]
    on_terminal = sys.stderr.isatty()
    started = shown = time.monotonic()
    interval = 0.5 if on_terminal else 20
    tail = []
    with open(log, "a") as file:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace")
        for count, line in enumerate(child.stdout):
            file.write(line)
            tail = tail[-24:] + [line.rstrip()]
            now = time.monotonic()
            if now - shown >= interval:
                shown = now
                text = f"lab: {what}: {now - started:.0f} s, {count} steps: {line.strip()[:50]}"
                print(f"\r\033[K{text}" if on_terminal else text, file=sys.stderr,
                      end="" if on_terminal else "\n", flush=True)
        if on_terminal:
            print("\r\033[K", file=sys.stderr, end="", flush=True)
    if child.wait():
        raise LabError(f"{what} failed ({child.returncode}); whole output in {log}:\n"
                       + "\n".join(tail))

# SPDX-License-Identifier: BSD-3-Clause
"""Run one program with a time limit, its output kept or shown as it comes."""

import dataclasses
import os
import signal
import subprocess
import threading
import time

STATUS_TIMEOUT = 124


@dataclasses.dataclass
class Outcome:
    status: int  # exit status; negative: the signal that ended it
    output: str
    seconds: float

    def trouble(self):
        """What went wrong, in words; empty when nothing did."""
        if self.status == STATUS_TIMEOUT:
            return f"no end after {self.seconds:.0f} s: ended"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}"
        return f"exit status {self.status}" if self.status else ""


def end_group(process):
    """End a program and what it has started: it leads a process group of its own."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            pass


class Alarm:
    """Ends a program when its time is up; a reader of its output meets the end of file then."""

    def __init__(self, process, seconds):
        self.rang = False
        self.process = process
        self.timer = threading.Timer(seconds, self.ring)
        self.timer.daemon = True
        self.timer.start()

    def ring(self):
        self.rang = True  # the program may be gone, and something that it started be left
        end_group(self.process)


def run(command, limit, env=None, cwd=None, show=None):
    """@show is called with each line as it comes."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, **(env or {})), cwd=cwd, start_new_session=True)
    alarm = Alarm(process, limit)
    pieces = []
    try:
        for line in process.stdout:
            text = line.decode(errors="replace")
            pieces.append(text)
            if show:
                show(text)
        process.wait()
    except BaseException:  # Ctrl-C among them: leave nothing behind
        end_group(process)
        raise
    finally:
        alarm.timer.cancel()
        process.stdout.close()
    status = STATUS_TIMEOUT if alarm.rang else process.returncode
    return Outcome(status, "".join(pieces), time.monotonic() - start)

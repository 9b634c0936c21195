"""Clocks and counters for whole process trees.

`children_cpu` is a clock of CPU time: user and system seconds of every descendant that has ended.
A process that outlives its parent (a compile worker, say) is adopted by us and counted too; `run`
does not come back before the last of them is gone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends first (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_cpu() -> float:
    """CPU seconds of all descendants that have ended and been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(line: Sequence[str], env: Mapping[str, str] | None = None) -> bytes:
    """Run a command and everything it starts to the end; its output.

    Raises `RuntimeError` with the end of stderr when it fails.
    """
    environment = None if env is None else {**os.environ, **env}
    done = subprocess.run(line, env=environment, capture_output=True, check=False)
    reap()
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace")[-500:]
        raise RuntimeError(f"{' '.join(line)}: status {done.returncode}: {words}")
    return done.stdout


def reap() -> None:
    """Wait for every orphan that was left to us."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def descendants(root: int) -> Iterator[int]:
    """A process and all below it, as far as they can be seen."""
    yield root
    try:
        tasks = os.listdir(f"/proc/{root}/task")
        text = "".join(Path(f"/proc/{root}/task/{t}/children").read_text() for t in tasks)
    except OSError:
        return
    for child in text.split():
        yield from descendants(int(child))


def resident(process: int) -> int:
    """The resident memory of a process in bytes; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def peak_memory(line: Sequence[str], env: Mapping[str, str]) -> int:
    """The most that a command and all it started had resident at once, in bytes.

    A worker may leave its parent and become our own child: whatever is below us is counted.
    Sampled every two milliseconds; pages that two processes share are counted for both.
    """
    peak = 0
    quiet = subprocess.DEVNULL
    environment = {**os.environ, **env}
    ended = threading.Event()
    with subprocess.Popen(line, env=environment, stdout=quiet, stderr=quiet) as process:

        def wait() -> None:
            process.wait()
            ended.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        while not ended.wait(0.002):
            everything = set(descendants(os.getpid())) - {os.getpid()}
            peak = max(peak, sum(map(resident, everything)))
        waiter.join()
    reap()
    return peak


def wall_and_largest(line: Sequence[str], env: Mapping[str, str]) -> tuple[float, int]:
    """Seconds on the clock, and the memory of the largest process in bytes, by /usr/bin/time.

    Its clock counts in hundredths.  Where it is not installed our own clock is used, and the
    memory is that of the largest process we ever waited for.
    """
    time_command = shutil.which("time")
    if time_command is None:
        started = time.perf_counter()
        run(line, env)
        seconds = time.perf_counter() - started
        return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    with tempfile.NamedTemporaryFile("r") as report:
        run([time_command, "-f", "%e %M", "-o", report.name, *line], env)
        seconds_text, kilobytes = report.read().split()
    return float(seconds_text), int(kilobytes) * 1024


@contextmanager
def empty_cache() -> Iterator[dict[str, str]]:
    """An environment whose cache directory is new and empty, and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="qemupy-cache-") as folder:
        yield {"XDG_CACHE_HOME": folder}

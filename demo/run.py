"""Runs the bundled PowerPC program and shows what the engines made of it.

    python -m demo.run [rounds]

The picture comes from the guest; the tables from the engine's own statistics (`QEMUPY_STATS`) and
from the clock.  The guest's instructions were counted when its binary was built.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import qemupy

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "mandelbrot"
ROUNDS = 400
THREADED_ROUNDS = 40

STATISTICS = {
    "handlers": "native handlers, one an instruction form",
    "blocks": "blocks of guest code met",
    "records": "guest instructions decoded into records",
    "regions": "hot regions compiled by LLVM",
    "region_instructions": "guest instructions in them",
    "worker_seconds": "seconds that the compile worker was busy",
    "cache_hits": "pieces of code found in the cache on disk",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run of the guest."""

    name: str
    instructions: int
    seconds: float

    @property
    def speed(self) -> float:
        """Million guest instructions a second."""
        return self.instructions / self.seconds / 1e6


def instructions(rounds: int) -> int:
    """How many guest instructions so many rounds are."""
    counts = json.loads((FOLDER / "mandelbrot.json").read_text())
    return int(counts["start"] + rounds * counts["round"])


def timed(name: str, command: list[str], rounds: int, *, shown: bool, statistics: Path) -> Run:
    """Run the guest, its picture on the terminal or thrown away."""
    line = [*command, str(PROGRAM), str(rounds)]
    if shown and sys.stdout.isatty():
        line.append("colour")
    environment = {**os.environ, "QEMUPY_STATS": str(statistics)}
    started = time.perf_counter()
    done = subprocess.run(
        line, env=environment, stdout=None if shown else subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        sys.exit(f"demo: {name} ended with status {done.returncode}")
    return Run(name, instructions(rounds), time.perf_counter() - started)


def tiers(statistics: Path) -> Table:
    """What the engine did, in its own words."""
    table = Table("count", "what", title="What the engine did", title_justify="left")
    table.columns[0].justify = "right"
    counts = json.loads(statistics.read_text()) if statistics.exists() else {}
    for key, words in STATISTICS.items():
        value = counts.get(key)
        if value is not None:
            table.add_row(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}", words)
    if not table.rows:
        table.add_row("", "the engine left no statistics")
    return table


def speeds(runs: list[Run]) -> Table:
    """How fast each run was."""
    table = Table(title="How fast it ran, start-up included", title_justify="left")
    for column in ("engine", "guest instructions", "seconds", "million/s"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    for run in runs:
        table.add_row(run.name, f"{run.instructions:,}", f"{run.seconds:.2f}", f"{run.speed:,.0f}")
    return table


def main() -> None:
    """The demonstration."""
    console = Console(highlight=False)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    size = PROGRAM.stat().st_size
    console.print(
        f"[bold]demo/mandelbrot[/]: a PowerPC program of {size:,} bytes, {rounds} rounds\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        hot, cold = Path(folder) / "jit.json", Path(folder) / "threaded.json"
        runs = [timed("jit", qemupy.command("ppc"), rounds, shown=True, statistics=hot)]
        threaded = qemupy.command("ppc", "-accel", "threaded")
        few = min(rounds, THREADED_ROUNDS)
        runs.append(timed("threaded", threaded, few, shown=False, statistics=cold))
        if path := shutil.which("qemu-ppc"):
            runs.append(timed("qemu-ppc", [path], rounds, shown=False, statistics=cold))
        console.print()
        console.print(tiers(hot))
        console.print()
        console.print(speeds(runs))


if __name__ == "__main__":
    main()

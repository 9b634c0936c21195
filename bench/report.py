"""Tables and a plot from the figures that `make bench` left.

    python -m bench.report [file.json] [--readme]

Times are CPU seconds, user and system, of every process involved, for the full size of a workload;
an engine that was given less work is scaled up.  `--readme` writes the table into README.md and
keeps its figures as bench/results/reference.json, its plot as reference.svg.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.workloads import BY_NAME, ENGINES

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
README = FOLDER.parent / "README.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Rows = list[dict[str, Any]]
Times = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A ratio that must be reached: `engine` against `rival` on a workload."""

    workload: str
    engine: str
    rival: str
    at_least: float


# fmt: off
CLAIMS = (
    Claim("kernels",          "jit",      "qemu",   1.6),
    Claim("recursion",        "jit",      "qemu",   1.6),
    Claim("copy",             "jit",      "qemu",   4.0),
    Claim("nbody",            "jit",      "qemu",   12.0),
    Claim("kernels",          "threaded", "qemu",   1 / 5),
    Claim("kernels",          "jit",      "interp", 100.0),
    Claim("x86_64 kernels",   "jit",      "qemu",   1.6),
    Claim("x86_64 kernels",   "jit",      "native", 1 / 2),
    Claim("x86_64 recursion", "jit",      "qemu",   2.0),
    Claim("x86_64 nbody",     "jit",      "qemu",   10.0),
    Claim("x86_64 packed",    "jit",      "qemu",   25.0),
    Claim("x86_64 library",   "jit",      "qemu",   20.0),
    Claim("i386 kernels",     "jit",      "qemu",   1.6),
    Claim("i386 recursion",   "jit",      "qemu",   2.0),
    Claim("i386 nbody",       "jit",      "qemu",   15.0),
)
# fmt: on


def load(path: Path, kind: str) -> Rows:
    """The measurements of one kind: what was recorded with each, and the median seconds."""
    everything = json.loads(path.read_text())["benchmarks"]
    rows = [{**row["extra_info"], "median": row["stats"]["median"]} for row in everything]
    return [row for row in rows if row.get("kind") == kind]


def times(rows: Rows) -> Times:
    """CPU seconds for the full size, by workload and engine."""
    result: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        work = max(0.0, row["median"] - row["start"]) / row["units"]
        result[row["workload"]][row["engine"]] = work * row["full"]
    return result


def ratio(table: Times, workload: str, engine: str, rival: str) -> float | None:
    """How many times less CPU time `engine` takes than `rival`."""
    row = table.get(workload, {})
    if not row.get(engine) or not row.get(rival):
        return None
    return row[rival] / row[engine]


def cells(table: Times, name: str) -> list[str]:
    """One line: seconds on every engine, then the ratios."""
    row = table.get(name, {})
    seconds = [f"{row[engine]:,.2f}" if engine in row else "–" for engine in ENGINES]
    against = [ratio(table, name, *pair) for pair in RATIOS.values()]
    return [name, *seconds, *("–" if value is None else f"{value:,.1f}x" for value in against)]


RATIOS = {
    "jit vs. qemu": ("jit", "qemu"),
    "first run vs. qemu": ("jit, first run", "qemu"),
    "threaded vs. qemu": ("threaded", "qemu"),
    "jit vs. interp": ("jit", "interp"),
}
"""Columns of ratios: more than 1 means that the first takes less time than the second."""

HEADINGS = ("workload", *ENGINES, *RATIOS)


def workload_table(table: Times) -> Table:
    """The main table, for a terminal."""
    result = Table(title="CPU seconds of all processes for the same work; medians", min_width=100)
    for heading in HEADINGS:
        result.add_column(heading, justify="left" if heading == "workload" else "right")
    for name in BY_NAME:
        if name in table:
            result.add_row(*cells(table, name))
    return result


def claims_table(table: Times) -> Table:
    """What was to be reached, and what was."""
    result = Table("claim", "wanted", "measured", "", title="Claims")
    for claim in CLAIMS:
        value = ratio(table, claim.workload, claim.engine, claim.rival)
        word = "not measured" if value is None else "holds" if value >= claim.at_least else "FAILS"
        measured = "–" if value is None else f"{value:,.2f}x"
        what = f"{claim.workload}: {claim.engine} vs. {claim.rival}"
        result.add_row(what, f"{claim.at_least:,.2f}x", measured, word)
    return result


def start_table(rows: Rows) -> Table:
    """Start-up figures."""
    result = Table("start", "wanted", "median", title="Start-up; medians of five")
    for row in rows:
        result.add_row(row["what"], f"≤ {row['bound']:,.2f}", f"{row['value']:,.2f}")
    return result


def cost_table(rows: Rows) -> Table:
    """What Python costs a translated instruction."""
    result = Table("Python at translation time", "wanted", "median", title="Translation")
    for row in rows:
        result.add_row(row["what"], f"≤ {row['bound']:,.0f} µs", f"{row['value']:,.1f} µs")
        for name, value in row["parts"].items():
            result.add_row(f"  {name}", "", f"{value:,.1f} µs")
    return result


def growth_table(rows: Rows) -> Table:
    """Time by size, and what a unit costs at each size."""
    result = Table("workload", "engine", "units", "CPU seconds", "µs a unit", title="Growth")
    for row in rows:
        each = row["median"] / row["units"] * 1e6
        units = f"{row['units']:,}"
        result.add_row(row["workload"], row["engine"], units, f"{row['median']:.2f}", f"{each:.2f}")
    return result


def plot(rows: Rows, path: Path) -> None:
    """Draw time over size as SVG."""
    import pygal

    chart = pygal.XY(
        title="CPU seconds by size of the work",
        x_title="size, as a share of the largest",
        include_x_axis=True,
        width=800,
        height=500,
        js=[],
        legend_at_bottom=True,
    )
    lines: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        largest = max(other["units"] for other in rows if other["workload"] == row["workload"])
        point = (row["units"] / largest, row["median"])
        lines[row["workload"], row["engine"]].append(point)
    for (workload, engine), points in lines.items():
        chart.add(f"{workload}, {engine}", [(0, 0), *sorted(points)])
    path.write_bytes(chart.render())


def markdown(table: Times, rows: Rows) -> str:
    """The README's table, and start-up figures below it."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" + "|---:" * (len(HEADINGS) - 1) + "|"]
    lines += ["| " + " | ".join(cells(table, name)) + " |" for name in BY_NAME if name in table]
    notes = [f"{row['what']}: {row['value']:.2f}" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def rewrite_readme(text: str) -> None:
    """Put the table between the README's two markers, with the plot below."""
    plot_link = f"![time over size]({(RESULTS / 'reference.svg').relative_to(FOLDER.parent)})"
    pattern = re.compile(f"(?s){re.escape(BEGIN)}.*{re.escape(END)}")
    new = pattern.sub(lambda _: f"{BEGIN}\n{text}\n\n{plot_link}\n{END}", README.read_text())
    README.write_text(new)


def keep_reference(path: Path) -> None:
    """Keep the figures that the README shows, without what belongs to one machine."""
    rows = [
        {"extra_info": row["extra_info"], "stats": {"median": row["stats"]["median"]}}
        for row in json.loads(path.read_text())["benchmarks"]
    ]
    (RESULTS / "reference.json").write_text(json.dumps({"benchmarks": rows}, indent=1) + "\n")
    shutil.copy2(RESULTS / "growth.svg", RESULTS / "reference.svg")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables from the figures of make bench.")
    parser.add_argument("file", nargs="?", type=Path, default=RESULTS / "latest.json")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    return parser.parse_args(arguments)


def main() -> None:
    """Print everything; draw the plot; perhaps rewrite the README."""
    options = parse()
    console = Console(width=150)
    measured = times(load(options.file, "workload"))
    start, growth = load(options.file, "start"), load(options.file, "growth")
    console.print(workload_table(measured), claims_table(measured), sep="\n\n")
    console.print(start_table(start), cost_table(load(options.file, "cost")), sep="\n\n")
    console.print(growth_table(growth))
    if growth:
        plot(growth, RESULTS / "growth.svg")
        console.print(f"plot: {(RESULTS / 'growth.svg').relative_to(FOLDER.parent)}")
    text = markdown(measured, start)
    console.print("\nAs Markdown:\n", text, sep="\n", highlight=False, soft_wrap=True)
    if options.readme:
        keep_reference(options.file)
        rewrite_readme(text)


if __name__ == "__main__":
    main()

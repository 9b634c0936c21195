"""Random x86 instructions from random states, on one of our engines and on the host, compared.

    python -m tests.frontends.x86.fuzz --engine jit --mode 64 --rows '^add' --instructions 1000

Each instruction is run from `--repeats` states.  A difference that `explain` knows is counted; any
other is shown with what repeats it:

    python -m tests.frontends.x86.fuzz --engine threaded --mode 64 --code 4801d8 --seed 7
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from frontends.x86.fields import FIELDS
from frontends.x86.table import x86_table
from tcg.decode.intel import Row
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Batch
from tests.frontends.x86.encode import Encoder
from tests.frontends.x86.engines import ENGINES, OurEngine
from tests.frontends.x86.explained import explain
from tests.frontends.x86.host import PLACES, Host, HostLost, features
from tests.frontends.x86.trial import (
    BEHIND,
    LEFT_OUT,
    SLOT,
    STOP,
    Trial,
    branch_far,
    family_of,
    leads_away,
    make_trial,
)

AT_ONCE = 128
"""Trials whose code is written, and whose handlers are made, together."""
SHOWN = 1
"""Differences shown of one instruction."""
SHOWN_OF_ROW = 2
"""Instructions of a row of which differences are shown."""
MODES = (64, 32, 16)

HOST_NAMES = {
    "abm": "abm",
    "sse3": "pni",
    "pclmul": "pclmulqdq",
    "3dnow": "3dnow",
    "3dnowext": "3dnowext",
}
"""CPU features that the kernel calls otherwise."""


@dataclass
class Report:
    """What a run found: cases by family, differences explained and not, by row."""

    cases: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    different: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{family}: {count} cases" for family, count in self.cases.items()]
        lines += [f"  {count} explained: {reason}" for reason, count in self.explained.items()]
        lines += [f"  not run: {reason}: {count}" for reason, count in self.skipped.items()]
        lines += self.shown
        rows = ", ".join(f"{row} {count}" for row, count in self.different.items())
        lines.append(
            f"{sum(self.different.values())} not explained" + (f": {rows}" if rows else "")
        )
        return "\n".join(lines)


def is_on_host(row: Row) -> bool:
    """The host's processor has what the row needs."""
    name = row.feature
    return name is None or HOST_NAMES.get(name, name) in features()


class Fuzzer:
    """Compares an engine with the host.  Everything follows from the seed."""

    def __init__(self, ours: OurEngine, host: Host, seed: int) -> None:
        self.ours = ours
        self.host = host
        self.mode = ours.mode
        self.seed = seed
        self.random = Random(seed)
        self.table = x86_table()
        self.place = PLACES[self.mode]
        self.decode = self.table.decoder(self.mode)
        self.encoder = Encoder(self.mode, self.random, self.decode, self.place.data + 0x800 + 96)
        self.batch = Batch(seed)
        self.report = Report()
        ours.be_exact()
        self._next = 0
        self._shown: Counter[str] = Counter()

    # -- trials ----------------------------------------------------------------------------

    def rows(self, pattern: str) -> list[tuple[int, Row]]:
        """The rows whose key matches, without those that are left out."""
        found = []
        for index, row in enumerate(self.table.rows):
            if not re.search(pattern, row.key) and not re.search(pattern, family_of(row)):
                continue
            if row.function in LEFT_OUT:
                self.report.skipped[LEFT_OUT[row.function]] += 1
            elif not is_on_host(row):
                self.report.skipped[f"the host has no {row.feature}"] += 1
            elif row.operands and row.operands[0].text in (
                "ES",
                "SS",
                "DS",
                "FS",
                "GS",
                "CS",
                "Sw",
            ):
                self.report.skipped["loads selectors"] += 1
            else:
                found.append((index, row))
        return found

    def trial(self, index: int, row: Row) -> Trial | None:
        """A random instruction of the row, in the next slot."""
        pc = self._pc()
        code = self.encoder.instruction(index, row, pc)
        return None if code is None else self.trial_of(code, pc)

    def trial_of(self, code: bytes, pc: int) -> Trial | None:
        """The trial of given code at `pc`."""
        decoded = self.decode(code, 0, pc)
        if decoded is None:
            return None
        row = self.table.rows[decoded.row]
        code = branch_far(row, code, dict(zip(FIELDS, decoded.fields, strict=True)), pc)
        decoded = self.decode(code, 0, pc)
        assert decoded is not None
        if leads_away(self.mode, row, dict(zip(FIELDS, decoded.fields, strict=True))):
            return None
        return make_trial(
            self.mode, decoded.row, row, code, decoded.fields, pc, self.random, self.ours.checked
        )

    def _pc(self) -> int:
        slots = self.place.code_size // SLOT
        pc = self.place.code + self._next % slots * SLOT + BEHIND
        self._next += 1
        return pc

    # -- runs --------------------------------------------------------------------------------

    def run(self, pattern: str, instructions: int, repeats: int) -> Report:
        """So many instructions of the rows that match, each from `repeats` states."""
        rows = self.rows(pattern)
        wanted = [rows[i % len(rows)] for i in range(max(instructions, 0))] if rows else []
        for start in range(0, len(wanted), AT_ONCE):
            # Slots that are written together lie side by side.
            slots = self.place.code_size // SLOT
            if self._next % slots + AT_ONCE > slots:
                self._next += slots - self._next % slots
            trials = [t for one in wanted[start : start + AT_ONCE] if (t := self.trial(*one))]
            if trials:
                self.compare(trials, repeats)
        return self.report

    def compare(self, trials: Sequence[Trial], repeats: int) -> None:
        """Run trials on both sides."""
        spare = {trial.slot: trial for trial in trials}
        self.ours.write_code(_dense(spare), STOP)
        stops = [self.host.exit_code(self.mode, number) for number in range(2)]
        for trial in trials:
            self.host.write(self.mode, trial.slot, trial.image(stops))
        for trial in trials:
            self._one(trial, repeats)

    def _one(self, trial: Trial, repeats: int) -> None:
        stride = case.WINDOW + trial.window
        repeats = min(repeats, len(self.host.before) // stride)
        seed = self.random.getrandbits(63)
        self.batch.fill(self.host.before, repeats, trial.model, trial.fillers, seed)
        self.host.prepare(self.mode, trial.pc, trial.window_at, trial.exits)
        try:
            self.host.run(repeats, trial.window, trial.vectors)
        except HostLost as lost:
            self.report.shown.append(f"{self.repeat(trial)}  # {lost}")
            self.report.different[trial.row.key] += 1
            return
        self.ours.run(trial, self.host.before, repeats)
        self.report.cases[family_of(trial.row)] += repeats
        found = self.batch.compare(self.ours.after, self.host.after, repeats, trial.mask)
        shown = 0
        for number in found:
            at = slice(number * stride, (number + 1) * stride)
            before, ours, theirs = (
                bytes(view[at]) for view in (self.host.before, self.ours.after, self.host.after)
            )
            reason = explain(trial, before, ours, theirs)
            if reason:
                self.report.explained[reason] += 1
                continue
            self.report.different[trial.row.key] += 1
            shown += 1
            self._shown[trial.row.key] += shown == 1
            if shown <= SHOWN and self._shown[trial.row.key] <= SHOWN_OF_ROW:
                self.report.shown.append(self.describe(trial, before, ours, theirs))

    # -- texts -------------------------------------------------------------------------------

    def repeat(self, trial: Trial) -> str:
        """The command that runs the same instruction."""
        return f"--mode {self.mode} --seed {self.seed} --code {trial.code.hex()}"

    def describe(self, trial: Trial, before: bytes, ours: bytes, theirs: bytes) -> str:
        """What differs, and all that the instruction may have read."""
        decoded = self.decode(trial.code, 0, trial.pc)
        assert decoded is not None
        text = self.table.disassemble(decoded, trial.pc, self.mode)
        lines = [f"{self.repeat(trial)}   # {text}   [{trial.row.place} {trial.row.key}]"]
        for part in case.FIELDS:
            mask = part.get(trial.mask)
            mine, other = part.get(ours) & mask, part.get(theirs) & mask
            if mine != other:
                was = part.get(before)
                lines.append(f"    {part.name}: {was:#x} became {mine:#x}, the host's {other:#x}")
        for at in range(case.WINDOW, len(before), 8):
            if ours[at : at + 8] != theirs[at : at + 8]:
                where = trial.window_at + at - case.WINDOW
                shown = [state[at : at + 8].hex() for state in (before, ours, theirs)]
                lines.append("    [{:x}]: {} became {}, the host's {}".format(where, *shown))
        wanted = [*case.GPRS[: 16 if self.mode == 64 else 8], "flags"]
        if trial.vectors:
            wanted += ["fcw", "fsw", "ftw", "mxcsr"]
            if trial.row.encoding[:1] in "dD" or "P" in str(trial.row.operands):
                wanted += [f"st{i}" for i in range(8)]
            vectors = (trial.fields[name] for name in ("reg", "rm", "vvvv"))
            wanted += [f"xmm{number}" for number in vectors if number >= 0]
        values = case.read(before)
        registers = " ".join(f"{name}={values[name]:#x}" for name in dict.fromkeys(wanted))
        lines.append("    before: " + registers)
        return "\n".join(lines)


def _dense(found: dict[int, Trial]) -> list[Trial]:
    """Trials in the order of their slots."""
    return [found[slot] for slot in sorted(found)]


def modes_of(text: str) -> Iterator[int]:
    """`64,32`"""
    return map(int, text.split(","))


def main() -> None:
    """Command line; exit status 1 when something is not explained."""
    parser = argparse.ArgumentParser(description="random x86 instructions, compared with the host")
    parser.add_argument("--engine", choices=ENGINES, default="threaded")
    parser.add_argument("--mode", default="64")
    parser.add_argument("--rows", default="", help="a regular expression for rows or families")
    parser.add_argument("--instructions", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checked", action="store_true", help="code that looks for #XM")
    parser.add_argument("--code", help="just this instruction, in hexadecimal")
    options = parser.parse_args()
    host = Host()
    failed = False
    for mode in modes_of(options.mode):
        start = time.monotonic()
        fuzzer = Fuzzer(ENGINES[options.engine](mode, options.checked), host, options.seed)
        if options.code:
            trial = fuzzer.trial_of(bytes.fromhex(options.code), fuzzer._pc())
            assert trial is not None, "this does not decode"
            fuzzer.compare([trial], options.repeats)
        else:
            fuzzer.run(options.rows, options.instructions, options.repeats)
        seconds = time.monotonic() - start
        print(f"mode {mode}, {options.engine}, seed {options.seed}: {seconds:.1f} s")
        print(fuzzer.report)
        failed |= bool(fuzzer.report.different)
    host.close()
    raise SystemExit(failed)


if __name__ == "__main__":
    main()

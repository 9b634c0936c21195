"""Tests of instructions as lines of text.

    48 01 d8        add rax, rbx     rax=1 rbx=0xffffffffffffffff     => rax=0 flags=CF,PF,AF,ZF
    32: 37          aaa              rax=0x2a                         => ...

The mode (64 if it is not said), the bytes, what they say, the state before, what has changed after.
What is not mentioned before is zero (`fcw`: 0x37f, `mxcsr`: 0x1f80, registers of the FPU empty);
what is not mentioned after is unchanged.  The right half and the disassembly come from the host's
processor and from the table:

    pytest tests/frontends/x86/test_rows.py --bless        rewrites them
    python -m tests.frontends.x86.lines                    adds lines for rows that have none

    rax= .. r15=  xmm0= .. ymmh0= (the upper half)  st0= .. fcw= fsw= ftw= (a bit each register in
    use)  mxcsr=  flags=CF,ZF (the status flags and DF)  fs_base= gs_base=   numbers
    [22000860]=0a0b        memory                 pc=0x21000080     where it went, if not on
    page protection divide ...                    how it ended, if not well
    # reason               the host is not asked, and why
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from frontends.x86.fields import FIELDS
from frontends.x86.table import x86_table as load_table
from tcg.decode.intel import Row
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Batch
from tests.frontends.x86.encode import Encoder
from tests.frontends.x86.engines import OurEngine
from tests.frontends.x86.host import PLACES, Host, HostLost
from tests.frontends.x86.trial import (
    BEHIND,
    LEFT_OUT,
    STOP,
    Trial,
    branch_far,
    family_of,
    make_trial,
)

HERE = Path(__file__).parent
x86_table = cache(load_table)
"""One table does for all lines."""
COLUMNS = re.compile(r"\s{2,}")

# fmt: off
FLAGS = {
    "CF": 1, "PF": 4, "AF": 16, "ZF": 64, "SF": 128, "DF": 1 << 10, "OF": 1 << 11,
}
EXCEPTIONS = {
    0: "divide", 1: "debug", 3: "breakpoint", 4: "overflow", 5: "bound", 6: "illegal",
    13: "protection", 14: "page", 16: "float", 17: "alignment", 19: "simd",
}
# fmt: on
ALWAYS = 0x202
"""Flags that are set in every line."""
ENDS = ("pc", "ended", "exit", "address")


@dataclass
class Line:
    """One line, taken apart."""

    mode: int
    code: bytes
    text: str
    before_text: str
    after_text: str
    reason: str = ""
    before: dict[str, int] = field(default_factory=dict)
    memory: dict[int, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        reason = f"   # {self.reason}" if self.reason else ""
        mode = "" if self.mode == 64 else f"{self.mode}: "
        columns = (
            f"{mode + self.code.hex(' '):<24}",
            f"{self.text:<36}",
            f"{self.before_text:<40}",
        )
        return f"{'  '.join(columns)}  => {self.after_text}".rstrip() + reason


def parse(text: str) -> Line:
    """A line of a file of tests."""
    text, _, reason = text.partition(" # ")
    left, _, after = text.partition("=>")
    code, *columns = COLUMNS.split(left.strip())
    mode, _, code = code.rpartition(":")
    before = columns[-1] if columns else "-"
    shown = columns[0] if len(columns) > 1 else ""
    line = Line(int(mode or 64), bytes.fromhex(code), shown, before, after.strip(), reason.strip())
    for item in before.split() if before != "-" else ():
        name, _, value = item.partition("=")
        if name.startswith("["):
            line.memory[int(name[1:-1], 16)] = bytes.fromhex(value)
        elif name == "flags":
            line.before[name] = sum(FLAGS[flag] for flag in value.split(",") if flag) | ALWAYS
        else:
            line.before[name] = int(value, 0)
    return line


def trial_of(line: Line) -> Trial:
    """The trial that runs a line: always at the same place."""
    pc = PLACES[line.mode].code + BEHIND
    table = x86_table()
    decoded = table.decoder(line.mode)(line.code, 0, pc)
    assert decoded is not None, f"{line.code.hex()} does not decode"
    row = table.rows[decoded.row]
    return make_trial(line.mode, decoded.row, row, line.code, decoded.fields, pc, Fixed())


class Fixed(Random):
    """Chance that always says the last: no edges, no random bases."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return start - 1 if stop is None else stop - 1


def state_of(line: Line, trial: Trial) -> bytearray:
    """The case that a line starts from."""
    state = case.new_case(trial.window)
    for name, value in line.before.items():
        case.BY_NAME[name].put(state, value)
    for address, content in line.memory.items():
        at = case.WINDOW + address - trial.window_at
        state[at : at + len(content)] = content
    return state


# -- texts -----------------------------------------------------------------------------------------


def number(value: int) -> str:
    """Small numbers are decimal."""
    return f"{value:#x}" if value > 9 else str(value)


def show_flags(value: int) -> str:
    """`CF,ZF`"""
    return ",".join(name for name, bit in FLAGS.items() if value & bit)


def show(name: str, value: int) -> str:
    """A register as it is written in a line."""
    return f"{name}={show_flags(value) if name == 'flags' else number(value)}"


def before_text(state: bytes, trial: Trial) -> str:
    """What a case differs from an empty one in."""
    empty = bytes(case.new_case(trial.window))
    items = [
        show(part.name, part.get(state))
        for part in case.FIELDS
        if part.name not in ENDS and part.get(state) != part.get(empty)
    ]
    items += memory_text(empty, state, trial)
    return " ".join(items) or "-"


def memory_text(old: bytes, new: bytes, trial: Trial) -> list[str]:
    """Runs of bytes that differ."""
    places = [i for i in range(case.WINDOW, len(new)) if old[i] != new[i]]
    items: list[str] = []
    runs: list[list[int]] = []
    for place in places:
        if runs and place - runs[-1][1] <= 4:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    for first, last in runs:
        where = trial.window_at + first - case.WINDOW
        items.append(f"[{where:x}]={bytes(new[first : last + 1]).hex()}")
    return items


def changes(before: bytes, after: bytes, trial: Trial) -> str:
    """What a run has changed, as text."""
    items = []
    for part in case.FIELDS:
        mask = part.get(trial.mask)
        old, new = part.get(before) & mask, part.get(after) & mask
        if part.name not in ENDS and old != new:
            items.append(show(part.name, new))
    items += memory_text(before, after, trial)
    ended = case.BY_NAME["ended"].get(after)
    exception = case.BY_NAME["exit"].get(after)
    pc = case.BY_NAME["pc"].get(after)
    if pc != (trial.pc if ended else trial.pc + len(trial.code)):
        items.append(f"pc={pc:#x}")
    if ended:
        items.append(EXCEPTIONS[exception])
        if exception == 14:
            items.append(f"at={case.BY_NAME['address'].get(after):#x}")
    return " ".join(items)


def disassemble(line: Line) -> str:
    """The instruction, with single spaces."""
    pc = PLACES[line.mode].code + BEHIND
    table = x86_table()
    decoded = table.decoder(line.mode)(line.code, 0, pc)
    return " ".join(table.disassemble(decoded, pc, line.mode).split()) if decoded else "?"


# -- running ---------------------------------------------------------------------------------------


class HostLines:
    """Runs lines on the host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._code = b""

    def run(self, trial: Trial, state: bytes) -> bytes:
        """The case that comes out; raises HostLost."""
        mode = trial.mode
        if trial.code != self._code:
            stops = [self.host.exit_code(mode, n) for n in range(len(trial.exits))]
            self.host.write(mode, trial.slot, trial.image(stops))
            self._code = trial.code
        self.host.before[: len(state)] = state
        self.host.prepare(mode, trial.pc, trial.window_at, trial.exits)
        self.host.run(1, trial.window, vectors=True)
        return bytes(self.host.after[: len(state)])


def run_on_host(host: HostLines, line: Line) -> str:
    """What the line's code changes there."""
    trial = trial_of(line)
    state = bytes(state_of(line, trial))
    return changes(state, host.run(trial, state), trial)


def run_on_engine(engine: OurEngine, line: Line) -> str:
    """What the line's code changes on an engine of ours."""
    trial = trial_of(line)
    state = state_of(line, trial)
    engine.write_code([trial], STOP)
    count = 2 if engine.jit else 1  # the second time it runs in a region
    engine.run(trial, memoryview(bytearray(state * count)), count)
    at = (count - 1) * len(state)
    return changes(bytes(state), bytes(engine.after[at : at + len(state)]), trial)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are tests, numbered."""
    for number_, text in enumerate(path.read_text().splitlines(), 1):
        if text.strip() and not text.startswith("#"):
            yield number_, text


# -- making lines ----------------------------------------------------------------------------------


class Maker:
    """Makes lines for rows: random instructions and states, of which only what matters is kept."""

    def __init__(self, host: Host, seed: int) -> None:
        self.host = host
        self.runner = HostLines(host)
        self.random = Random(seed)
        self.batch = Batch(seed)
        self.table = x86_table()

    def line(self, mode: int, index: int, memory: bool | None, tries: int = 40) -> Line | None:
        """A line for a row, of an instruction with a memory operand or one without."""
        place = PLACES[mode]
        decode = self.table.decoder(mode)
        encoder = Encoder(mode, self.random, decode, place.data + 0x800 + 96)
        pc, row = place.code + BEHIND, self.table.rows[index]
        for attempt in range(tries):
            code = encoder.instruction(index, row, pc)
            decoded = decode(code, 0, pc) if code else None
            if code is None or decoded is None:
                return None
            fields = dict(zip(FIELDS, decoded.fields, strict=True))
            if len(code) > 9 or (memory is not None and (fields["rm"] < 0) != memory):
                continue
            code = branch_far(row, code, fields, pc)
            decoded = decode(code, 0, pc)
            assert decoded is not None
            trial = make_trial(mode, index, row, code, decoded.fields, pc, self.random)
            if trial.window_at != place.data + 0x800:
                continue
            best = self._best(trial, may_end=attempt > tries // 2)
            if best is not None:
                return best
        return None

    def _best(self, trial: Trial, may_end: bool) -> Line | None:
        """A line from one of eight states: one that changes something, and does not fault."""
        stride = case.WINDOW + trial.window
        states = memoryview(bytearray(8 * stride))
        model = case.new_case(trial.window)
        for name in ("fs_base", "gs_base"):
            case.BY_NAME[name].put(model, case.BY_NAME[name].get(trial.model))
        seed = self.random.getrandbits(63)
        self.batch.fill(states, 8, bytes(model), trial.fillers, seed)
        for i in range(8):
            state = bytes(states[i * stride : (i + 1) * stride])
            try:
                after = self.runner.run(trial, state)
            except HostLost:
                return None
            if case.BY_NAME["ended"].get(after) and not (may_end and i == 7):
                continue
            if state == after and i < 7:
                continue
            small = self._smaller(trial, bytearray(state), changes(state, after, trial))
            return self._written(trial, small)
        return None

    def _smaller(self, trial: Trial, state: bytearray, wanted: str) -> bytes:
        """The state without everything that the outcome does not depend on."""
        empty = case.new_case(trial.window)
        parts = [part for part in case.FIELDS if part.name not in ENDS]
        spans = [(part.offset, part.size) for part in parts]
        half = range(case.WINDOW, len(state), trial.window // 4)
        spans += [(at, trial.window // 4) for at in half]
        spans += [(at, 8) for at in range(case.WINDOW, len(state), 8)]
        spans += [(at, 1) for at in range(case.WINDOW, len(state))]
        for at, size in spans:
            kept = bytes(state[at : at + size])
            if kept == empty[at : at + size]:
                continue
            state[at : at + size] = empty[at : at + size]
            if changes(bytes(state), self.runner.run(trial, bytes(state)), trial) != wanted:
                state[at : at + size] = kept
        return bytes(state)

    def _written(self, trial: Trial, state: bytes) -> Line:
        after = self.runner.run(trial, state)
        line = Line(
            trial.mode, trial.code, "", before_text(state, trial), changes(state, after, trial)
        )
        line.text = disassemble(line)
        return line


def rows_with_lines(paths: Iterable[Path]) -> set[int]:
    """The rows that lines are of."""
    table, found = x86_table(), set()
    for path in paths:
        for _, text in lines_of(path):
            line = parse(text)
            decoded = table.decoder(line.mode)(line.code, 0, PLACES[line.mode].code + BEHIND)
            if decoded is not None:
                found.add(decoded.row)
    return found


def why_without(row: Row) -> str:
    """Why a row needs no line from the host; empty if it does."""
    if row.operands and row.operands[0].text in ("ES", "SS", "DS", "FS", "GS", "CS", "Sw"):
        return "loads selectors"
    if "3dnow" in (row.feature or ""):
        return "no processor at hand has it"
    return LEFT_OUT.get(row.function, "")


def make_lines(host: Host, indexes: Sequence[int], seed: int) -> Iterator[tuple[str, Line]]:
    """Lines for rows, with their families: one of registers, one of memory."""
    maker = Maker(host, seed)
    for index in indexes:
        row = maker.table.rows[index]
        mode = 32 if "i64" in row.properties else 64
        kinds: tuple[bool | None, ...] = (None,)
        if any(o.letter in ("E", "W", "Q") for o in row.operands):
            # AVX has all of SSE again: one of the two will do.
            kinds = (bool(index & 1),) if family_of(row) == "avx" else (False, True)
        for kind in kinds:
            line = maker.line(mode, index, kind)
            if line is not None:
                yield family_of(row), line


def main() -> None:
    """Add lines for all rows that have none."""
    from tests.frontends.x86.fuzz import is_on_host

    table = x86_table()
    known = rows_with_lines(HERE.glob("*.txt"))
    wanted = [
        i for i, row in enumerate(table.rows)
        if i not in known and not why_without(row) and is_on_host(row)
    ]  # fmt: skip
    host = Host()
    found: dict[str, list[str]] = {}
    for family, line in make_lines(host, wanted, 1):
        found.setdefault(family, []).append(str(line))
    host.close()
    for family, texts in found.items():
        with (HERE / f"{family}.txt").open("a") as file:
            file.write("\n".join(texts) + "\n")
        print(f"{family}.txt: {len(texts)} lines more")


if __name__ == "__main__":
    main()

"""What came with a signal: siginfo_t, read and written for any word size and byte order.

The kernel fills one of a few unions, chosen by si_signo and si_code (siginfo_layout() in
kernel/signal.c).  The table `MEMBERS` names each union's members in order with their C types; a
member is placed at its natural alignment, which is all that differs between two machines.
"""

from __future__ import annotations

import signal
import struct
from dataclasses import dataclass
from functools import cache
from typing import Literal

from user_mode.abi.layout import DataModel

SIZE = 128
"""sizeof(siginfo_t), on every machine."""

SI_USER, SI_KERNEL, SI_QUEUE, SI_TIMER, SI_SIGIO, SI_TKILL = 0, 0x80, -1, -2, -5, -6

Kind = Literal["kill", "timer", "queue", "child", "fault", "poll", "call"]

# fmt: off
MEMBERS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "kill":  (("pid", "int"), ("uid", "uint")),
    "timer": (("timer_id", "int"), ("overrun", "int"), ("value", "pointer")),
    "queue": (("pid", "int"), ("uid", "uint"), ("value", "pointer")),
    "child": (("pid", "int"), ("uid", "uint"), ("status", "int"), ("utime", "long"),
              ("stime", "long")),
    "fault": (("address", "pointer"),),
    "poll":  (("band", "long"), ("fd", "int")),
    "call":  (("address", "pointer"), ("number", "int"), ("arch", "uint")),
}

KIND_BY_SIGNAL: dict[int, Kind] = {
    signal.SIGILL:  "fault",
    signal.SIGFPE:  "fault",
    signal.SIGSEGV: "fault",
    signal.SIGBUS:  "fault",
    signal.SIGTRAP: "fault",
    signal.SIGCHLD: "child",
    signal.SIGIO:   "poll",
    signal.SIGSYS:  "call",
}
# fmt: on
"""The union of a signal that the kernel raised itself (si_code > 0)."""


HOST = DataModel("<", 8)
"""Linux on x86-64, where we run."""


@dataclass(frozen=True, slots=True)
class SigInfo:
    """A signal and what is known of its cause.  Members of other unions than its own are zero."""

    signo: int
    code: int = SI_USER
    errno: int = 0
    pid: int = 0
    uid: int = 0
    value: int = 0
    status: int = 0
    utime: int = 0
    stime: int = 0
    address: int = 0
    band: int = 0
    fd: int = 0
    timer_id: int = 0
    overrun: int = 0
    number: int = 0
    arch: int = 0

    @property
    def kind(self) -> Kind:
        """Which of the unions is filled."""
        if self.code > 0 and self.code != SI_KERNEL:
            return KIND_BY_SIGNAL.get(self.signo, "kill")
        if self.code in (SI_USER, SI_KERNEL):
            return "kill"
        return {SI_TIMER: "timer", SI_SIGIO: "poll"}.get(self.code, "queue")  # type: ignore[return-value]


def pack(info: SigInfo, model: DataModel) -> bytes:
    """The siginfo_t of a machine."""
    layout, names = _layout(info.kind, model)
    values = (getattr(info, name) & mask for name, mask in names)
    return layout.pack(*values).ljust(SIZE, b"\0")


def unpack(raw: bytes, model: DataModel) -> SigInfo:
    """Read the siginfo_t of a machine."""
    signo, errno, code = struct.unpack_from(model.byte_order + "3i", raw)
    layout, names = _layout(SigInfo(signo, code).kind, model)
    values = dict(zip((name for name, _ in names), layout.unpack_from(raw), strict=True))
    values.update(signo=signo, errno=errno, code=code)
    for name in ("pid", "status", "timer_id", "overrun", "fd", "number"):
        if name in values:
            values[name] = _signed(values[name], 32)
    return SigInfo(**values)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


@cache
def _layout(kind: Kind, model: DataModel) -> tuple[struct.Struct, tuple[tuple[str, int], ...]]:
    """The struct of one union behind the three common ints, and its members with their masks."""
    word = model.long_size
    sizes = {"int": 4, "uint": 4, "long": word, "pointer": word}
    common = (("signo", 4), ("errno", 4), ("code", 4))
    members = [*common, *((name, sizes[type_]) for name, type_ in MEMBERS[kind])]
    text, offset = "", 0
    for index, (_, size) in enumerate(members):
        pad = -offset % (word if index == len(common) else size)
        text += f"{pad}x" + {4: "I", 8: "Q"}[size]
        offset += pad + size
    masks = tuple((name, (1 << size * 8) - 1) for name, size in members)
    return struct.Struct(model.byte_order + text), masks

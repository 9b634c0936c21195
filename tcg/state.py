"""The layout of a guest CPU's state in host memory, and of the records that code is made of.

A CPU is one block of host memory, called *env* in compiled code: first the header, which the
engine, the native runtime and every backend share, then the guest's own slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from tcg.types import I32, I64, V256, Type


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One register (or flag) of the guest state: name in the text form, type, offset in env.

    Compared and hashed by identity, as slots are keys in hot code: a layout has one object each.
    """

    name: str
    type: Type
    offset: int

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A register file: equally typed slots, `stride` bytes apart, which a value may index."""

    name: str
    type: Type
    offset: int
    slots: tuple[Slot, ...]
    stride: int

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Rotating:
    """A file used as a stack, whose registers are mostly reached relative to its top.

    `top`: the number of the register on top; `full`: a bit for each register that is not empty.
    `zero`: a slot that is zero in all usual code.  `overlays`: files in the same memory.
    """

    file: File
    top: Slot
    full: Slot
    zero: Slot
    overlays: tuple[File, ...] = ()

    @property
    def registers(self) -> frozenset[Slot]:
        """The registers by themselves."""
        return frozenset(self.file.slots)


class StateLayout:
    """Hands out slots in the order they are asked for, each aligned to its size."""

    def __init__(self, header: Iterable[tuple[str, Type]] = ()) -> None:
        self.slots: dict[str, Slot] = {}
        self.files: dict[str, File] = {}
        self.size = 0
        for name, type_ in header:
            self.slot(name, type_)

    def _place(self, type_: Type, count: int) -> int:
        align = min(type_.stride, 16)
        offset = -(-self.size // align) * align
        self.size = offset + type_.stride * count
        return offset

    def _add(self, slot: Slot) -> Slot:
        if slot.name in self.slots:
            raise ValueError(f"state slot {slot.name} is declared twice")
        self.slots[slot.name] = slot
        return slot

    def slot(self, name: str, type_: Type) -> Slot:
        """Declare a register of its own."""
        return self._add(Slot(name, type_, self._place(type_, 1)))

    def file(self, name: str, type_: Type, names: Iterable[str]) -> File:
        """Declare a register file; `names` are its registers' names in order."""
        listed = tuple(names)
        offset = self._place(type_, len(listed))
        slots = tuple(
            self._add(Slot(one, type_, offset + i * type_.stride)) for i, one in enumerate(listed)
        )
        self.files[name] = made = File(name, type_, offset, slots, type_.stride)
        return made

    def overlay(self, name: str, type_: Type, file: File, byte: int, names: Iterable[str]) -> File:
        """A file that lies in the registers of another one, from that byte of each on.

        No function may use both: nothing else knows that writing one changes the other.
        """
        slots = tuple(
            self._add(Slot(one, type_, under.offset + byte))
            for one, under in zip(names, file.slots, strict=True)
        )
        self.files[name] = made = File(name, type_, slots[0].offset, slots, file.stride)
        return made

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots.values())


class Reason(IntEnum):
    """Why native code came back to the run loop (header.exit_reason)."""

    NONE = 0
    UNTRANSLATED = 1
    """A head without a body was entered: exit_rec is the head."""
    CODE_WRITE = 2
    """A store was about to change code, and the guest notices at once (Frontend.notices_stores):
    fault_address; current_rec or current_pc tell which store.  It has not been done."""
    LOOKUP = 3
    """A branch leads to a place that has no head yet: exit_pc is its target."""
    HOT = 4
    """A counting head reached zero: exit_rec is the head."""
    EVENT = 5
    """header.event was seen set: exit_pc is where to go on."""
    ASK = 6
    """The guest asks the client (a system call): exit_info says what, exit_pc where to go on."""
    EXCEPTION = 7
    """The guest raised an exception: exit_info says which, exit_pc where."""
    FAULT = 8
    """A memory access faulted: fault_address, fault_write; exit_rec or exit_pc tell where."""
    STALE = 9
    """A checking record found its code changed, or has checked long enough: exit_rec is it."""


NO_ADDRESS = 0x80
"""The host's si_code (SI_KERNEL) of a fault without an address, in header.fault_code: an access
that must be aligned was not (`Access.is_checked`)."""

HEADER_FIELDS: tuple[tuple[str, Type], ...] = (
    ("exit_reason", I32),
    ("event", I32),
    ("exit_rec", I64),
    ("exit_pc", I64),
    ("exit_info", I64),
    ("base", I64),
    ("jump_cache", I64),
    ("runtime", I64),
    ("page_flags", I64),
    ("guest_limit", I64),
    ("in_guest", I32),
    ("mxcsr", I32),
    ("host_mxcsr", I32),
    ("fault_code", I32),
    ("fault_write", I32),
    ("fault_signal", I32),
    ("fault_address", I64),
    ("host_pc", I64),
    ("current_rec", I64),
    ("current_pc", I64),
    ("reservation_address", I64),
    ("reservation_value", I64),
    ("instructions", I64),
    ("scratch", I64),
    ("depth", I64),
    ("host_stack", I64),
    ("page_access", I64),
    ("x87_control", I32),
    ("x87_status", I32),
    ("write_retries", I64),
    ("mode", I32),
    ("mmu_index", I32),
    ("code_space", I64),
    ("tlbs", I64),
    ("contexts", I64),
    ("physical_map", I64),
    ("code_map", I64),
    ("code_bytes", I64),
    ("mmu_status", I32),
    ("walk_access", I32),
    ("walk_rights", I32),
    ("walk_size", I32),
    ("walk_fault", I32),
    ("walk_pages", I32),
    ("job", I64),
    ("walk_linear", I64),
    ("walk_physical", I64),
    ("bounce", V256),
)
"""The fields at the start of every env.  `current_rec`: the record whose memory access runs
(handlers), zero while a region runs, EXACT while one in exact mode does; `current_pc`: the guest
pc of the access that runs in a region compiled in exact mode.
`mxcsr` is the guest's FP environment while the guest does not run.
`x87_control`: the control word under which guest code runs, all exceptions masked; `x87_status`:
the sticky flags of f80 operations, less those that the host's register has.
`page_flags`, `page_access`: host addresses of tables with a byte a page, what the engine notes and
what the guest may do (PROT_*).  `host_stack`: where leaving guest code goes back to.

The fields from `mode` on are those of a whole machine.  `mode`: what translations depend on;
`mmu_index`: the privilege of memory accesses (0 supervisor, 1 user, 2 supervisor that may read what
is the user's); `code_space`: added to an address of code it makes the key of its block, and its
upper half is what the code segment begins at.  All three are the guest's to keep.  The rest is the
native MMU's: see backend/llvm/softmmu.ll.
"""


EXACT = 1
"""What `current_rec` holds while a region in exact mode runs."""

_HEADER_LAYOUT = StateLayout(HEADER_FIELDS)
HEADER: dict[str, Slot] = _HEADER_LAYOUT.slots
"""The slots of the header, which every layout shares."""

HEADER_SIZE = _HEADER_LAYOUT.size


def new_layout() -> StateLayout:
    """A layout with the engine's header at its start, ready for a guest's slots."""
    layout = StateLayout()
    layout.slots.update(HEADER)
    layout.size = HEADER_SIZE
    return layout


class Record:
    """Offsets in a record: one decoded guest instruction, the operands of its handler.

    The link of a static branch is an address, or `unset_link(pc)` as long as nobody has taken it.
    """

    SIZE = 32
    HANDLER = 0
    OPERANDS = 8
    OPERANDS_END = 24
    LINK = 24


class Notes:
    """The end of a computed jump's record: the heads that it led to, the newest first.

    One that is not there yet pushes the oldest out.  Each is the distance from here to the head,
    in four bytes: an arena is smaller than 2 GiB.  Zero is none.
    """

    COUNT = 8
    SIZE = 4 * COUNT


class Check:
    """Offsets in the record that checks a block's code before the block runs (`h_check`)."""

    PC = 8
    CODE = 16
    SIZE = 24
    PATIENCE = 28


def unset_link(pc: int, leaves_page: bool = False) -> int:
    """What a link holds that is to lead to `pc`: an odd number, which no address of code is.

    One that leaves its page in a whole machine is never set: what is there may be mapped anew.
    """
    return (pc << 2 | leaves_page << 1 | 1) & (1 << 64) - 1


class Head:
    """Offsets in a head record: the one address that means "the block at this guest pc".

    In a whole machine PC is the pc with its `code_space` (see HEADER), and WHERE the block's
    physical address and mode: `where_of`.  In a process WHERE is zero.
    """

    SIZE = 48
    WHERE = 32
    CODE = 0
    BODY = 8
    PC = 16
    COUNTER = 24
    FLAGS = 28


MODE_BITS = 12


def where_of(physical: int, mode: int) -> int:
    """What tells code at the same pc: its physical address and the mode it was translated in."""
    return physical << MODE_BITS | mode


GUEST_ADDRESS_MASK = (1 << 46) - 1
"""What is taken of a 64-bit guest's address of data: so much is reserved on the host."""

JUMP_CACHE_BITS = 14
"""The jump cache holds 2**14 head addresses, indexed by (pc >> frontend shift) & mask."""

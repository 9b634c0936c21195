"""A whole machine's processor, as the engines that run it and their client see each other.

The guest ISA gives a `Guest`: a frontend for each mode that code runs in, and two functions in IR
that every engine runs as they are: the page walk, and the delivery of an interrupt.  The client
uses a `SystemRunner`.  Addresses of code are offsets in the code segment, those of data are linear.
"""

from __future__ import annotations

from typing import Protocol

from tcg.cpu import Cpu
from tcg.engine import Exit
from tcg.frontend import Frontend
from tcg.ir import Function
from tcg.state import StateLayout

READ, WRITE, FETCH = 0, 1, 2
"""What `walk_access` says of an access, with USER and AC added."""
USER, AC = 4, 8

CAN_READ, CAN_WRITE, CAN_FETCH, IS_GLOBAL, IS_USER = (1 << n for n in range(5))
"""The bits of `walk_rights`."""

CURRENT, SYSTEM, PHYSICAL, HOST = range(4)
"""`Access.mmu`: by the privilege in force, as the supervisor whatever that is, without paging; and
the host's own memory, for routines that are not the guest's."""

FLUSH_PAGE, FLUSH_ALL = 0xF_FFFE_0000, 0xF_FFFE_0008
"""Physical addresses where no memory is: eight bytes stored there are a linear address whose
translation is forgotten, or nothing, and all are.  A jump of hint "far" is to follow.
"""


class PageFault(Exception):
    """An access that paging does not allow: its linear address and the guest's error code."""

    def __init__(self, linear: int, code: int) -> None:
        super().__init__(f"page fault at {linear:#x}, error code {code:#x}")
        self.linear = linear
        self.code = code


class Guest(Protocol):
    """An ISA with its privileged part.

    `walk` reads walk_linear and walk_access and answers in the other walk_* fields of the header;
    walk_fault is 0 or the error code with bit 31 set.  It ends with `next`.  `delivery` is a
    function of kind "handler" that ends with a jump of hint "far", or raises.
    """

    @property
    def layout(self) -> StateLayout:
        """Where everything is in a CPU's state."""

    @property
    def walk(self) -> Function:
        """The page walk."""

    def frontend(self, mode: int) -> Frontend:
        """The frontend for code in this mode; always the same object."""

    def delivery(self, mode: int) -> Function:
        """What takes the interrupt that the state describes, in this mode."""


class SystemRunner(Protocol):
    """Runs one processor of a machine.

    `stop_at`: `run` gives an `event` when the header's `instructions` has come so far, or None;
    only of engines that count.
    """

    stop_at: int | None

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero."""

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit; from any thread."""

    def run(self, cpu: Cpu, deliver: bool = False) -> Exit:
        """Run from cpu.pc, in the mode that the state says, until the client must act.

        `deliver`: first take the interrupt that the state describes.
        """

    def step(self, cpu: Cpu) -> Exit:
        """Run one instruction, whatever events are pending; `event` if it just went on."""

    def translate(self, cpu: Cpu, linear: int, access: int) -> int:
        """The physical address; raises PageFault."""

    def read_linear(self, cpu: Cpu, linear: int, size: int, user: bool = False) -> bytes:
        """Memory at a linear address; raises PageFault before anything was read."""

    def write_linear(self, cpu: Cpu, linear: int, data: bytes, user: bool = False) -> None:
        """Write memory at a linear address; raises PageFault before anything was written."""

    def flush_tlb(self, cpu: Cpu, linear: int | None = None) -> None:
        """Forget the translation of a page, or all of them."""

    def memory_changed(self, start: int, end: int) -> None:
        """Somebody else wrote to physical memory in [start, end)."""

    def remapped(self) -> None:
        """The physical address space shows other memory than before somewhere."""

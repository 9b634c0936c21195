"""What the engine asks of a backend, and of the guest's memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tcg.cpu import Cpu
from tcg.forms import Form, Forms


class Memory(Protocol):
    """What the engine needs of the guest's memory."""

    base: int
    """Host address of guest address 0."""

    def fetch(self, address: int, length: int) -> bytes:
        """Code at `address`, at least a byte; raises GuestFault."""

    def protect_code(self, address: int, stays_open: bool = False) -> None:
        """Have writes to the page of `address` noticed from now on; those of the guest itself not
        if it stays open.
        """

    def open_code(self, address: int) -> None:
        """Have writes to the page of `address` noticed no more."""

    def may_change(self, address: int) -> bool:
        """Whether the guest may write to the page of `address`."""

    def take_dirty(self) -> Sequence[int]:
        """The pages (addresses) written since they were protected; they are watched no more."""


class OutOfCodeSpace(Exception):
    """There is no room for more compiled code; something must be released first."""


class HandlerMaker(Protocol):
    """Makes native handlers and places records: the backend's part of translating a block."""

    view: memoryview
    """All host memory that `allocate` hands out."""
    base: int
    """The host address of `view[0]`."""
    native: dict[str, int]
    """Addresses of the runtime's functions."""

    def make_handlers(self, forms: Sequence[Form]) -> None:
        """Set the `address` of every form."""

    def allocate(self, size: int) -> int:
        """Host memory for records, all zero."""


class Backend(HandlerMaker, Protocol):
    """Memory, handlers, regions, and the way into native code."""

    frontend: str
    """The `place` of the frontend, with which regions are lifted."""
    enter: Callable[[int, int], int]
    """(env, record): run from `record` on until native code leaves; gives the Reason."""
    statistics: dict[str, Any]

    def load_handlers(self, forms: Forms) -> None:
        """Load the code of all handlers that earlier runs made; their forms when they are asked."""

    def free(self, address: int, size: int) -> None:
        """Take back what `allocate` gave."""

    def new_state(self, size: int) -> tuple[int, memoryview]:
        """Zeroed host memory for a CPU: its address and its bytes."""

    def prepare_header(self, cpu: Cpu, memory: Any) -> None:
        """Fill the header fields that the native runtime reads."""

    def known_images(self, key: str) -> tuple[list[str], dict[int, bytes]] | None:
        """What `keep_images` was given for this key in an earlier run."""

    def keep_images(self, key: str, symbols: Sequence[str], images: dict[int, bytes]) -> None:
        """Keep page images, and the handlers' symbols that their numbers stand for."""

    def images_age(self, key: str) -> float:
        """Seconds since images were kept for this key; infinite if there are none."""

    def handler_addresses(self, symbols: Sequence[str]) -> Sequence[int]:
        """Where those handlers are; 0 for one that is not there."""

    def handler_symbols(self) -> dict[int, str]:
        """All handlers by address."""

    def digest(self, data: bytes) -> bytes:
        """What tells these bytes from any others."""

    def load_records(
        self, records: bytes, handlers: array[int], places: bytes, blocks: bytes
    ) -> int:
        """Put a page image into memory, have its blocks' heads lead there; gives its address."""

    def set_cold(self, code: int, counter: int) -> None:
        """What the heads of blocks get whose records are loaded: their code and their counter."""

    def read_records(self, address: int, size: int) -> bytes:
        """Records as they are in memory."""

    def head(self, pc: int, where: int = 0) -> int:
        """The address of the head of the block at `pc`, which is made if there is none.

        `where`: in a whole machine, what tells it from other code at that pc (tcg.state.Head).
        """

    def find_head(self, pc: int, where: int = 0) -> int:
        """The address of the head of the block at `pc`; 0 if there is none."""

    def forget_heads(self) -> None:
        """Have no head lead to code."""

    def set_rules(self, where: int, notices: bool) -> None:
        """Have branches come back always (0), or lead to heads (1), or to bodies (2); `notices`:
        leave guest code before a store into code.
        """

    def new_jump_cache(self) -> int:
        """Host address of an empty jump cache."""

    def empty_jump_cache(self, address: int) -> None:
        """Forget everything in a jump cache."""

    def known_region(self, mode: dict[str, Any], pc: int, code: bytes) -> dict[str, Any] | None:
        """What an earlier run compiled for the block of that code.

        Keys: `blocks` ([pc, code, where its computed jump went] each), how many of them are
        `entries`, and `compiled`.
        """

    def submit_region(self, request: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Have a region compiled; `done` gets what `install_region` takes, or None."""

    def install_region(self, compiled: Any, resolve: Callable[[int], int]) -> tuple[Any, int]:
        """Put a compiled region into memory: its handle and the address of its code.

        `resolve` gives the head of a guest pc.  Raises OutOfCodeSpace.
        """

    def release_region(self, handle: Any) -> None:
        """Give a region's memory back; nobody runs it any more."""

    def write_pointer(self, address: int, value: int) -> None:
        """Store eight bytes at once."""

    def write_word(self, address: int, value: int) -> None:
        """Store four bytes at once."""

    def read_pointer(self, address: int) -> int:
        """Load eight bytes."""

    def read_word(self, address: int) -> int:
        """Load four bytes."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's helpers."""

"""Native translation as Python uses it: a block's records and what Python wants to know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from struct import Struct, unpack_from
from typing import Protocol

from tcg.blocks import Translation
from tcg.forms import Form, Forms
from tcg.frontend import Frontend
from tcg.ir import Function
from tcg.native.decoder import NativeDecoder
from tcg.native.forms import CALLS, NOTES, NativeForms
from tcg.native.host import HostBuilder
from tcg.native.translate import BAILED, OPEN, Job, build_translate
from tcg.reading import leaves_page
from tcg.state import Record, unset_link

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
POOL_BYTES = 1 << 20
LARGEST_BLOCK = 1 << 14
"""Bytes that the records of a block may take; Python makes larger ones."""

_GIVEN = Struct("<9Q")
_ANSWERS = Struct("<7Q")
_LINK = Struct("<Q")


class SystemFrontend(Frontend, Protocol):
    """A frontend whose decoder there is as IR."""

    def native_decoder(self) -> NativeDecoder:
        """The decoder; a new object."""


class Maker(Protocol):
    """What native translation asks of the backend and the engine."""

    view: memoryview
    base: int

    def allocate(self, size: int) -> int:
        """Host memory, all zero."""


class Pool:
    """Host memory for records, given out from its beginning on."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._at = self._end = 0

    def room(self) -> int:
        """The address of room for LARGEST_BLOCK bytes."""
        if self._end - self._at < LARGEST_BLOCK:
            self._at = self._maker.allocate(POOL_BYTES)
            self._end = self._at + POOL_BYTES
        return self._at

    def take(self, size: int) -> None:
        """So much of the room is used."""
        self._at += size


class NativeBlocks:
    """Translates the blocks of one mode.

    `run` runs a routine with header.job set; `routine` makes one, by a name that tells it from
    others, of what the callback emits.
    """

    def __init__(
        self,
        frontend: SystemFrontend,
        forms: Forms,
        maker: Maker,
        pool: Pool,
        routine: Callable[[str, Callable[[Function], None]], int],
        run: Callable[[int, int], None],
    ) -> None:
        decoder = frontend.native_decoder()
        tables = decoder.tables
        self._maker = maker
        self._pool = pool
        self._run = run
        self._tables = maker.allocate(len(tables))
        self._write(self._tables, tables)
        self.forms = NativeForms(forms, decoder.rows, maker.allocate, self._write)
        self._job = maker.allocate(8 * Job.END)
        self._mask = MASK64
        name = f"{frontend.name}_translate_{blake2b(tables, digest_size=8).hexdigest()}"
        self._code = routine(name, lambda function: _build(function, decoder))

    def _write(self, address: int, data: bytes) -> None:
        start = address - self._maker.base
        self._maker.view[start : start + len(data)] = data

    def update(self, rows: Iterable[int]) -> None:
        """Python has made new forms of these rows, maybe."""
        self.forms.update([row for row in rows if row >= 0])

    def translate(
        self, pc: int, host: int, room: int, base: int, limit: int, goto: Form
    ) -> Translation | None:
        """The block at `pc`, whose code is at a host address with `room` bytes to the page's end.

        None if it is not for native code: something in it is new, or rare.  `goto`: the form of
        what goes on with the next block.
        """
        view, at = self._maker.view, self._job - self._maker.base
        body = self._pool.room()
        _GIVEN.pack_into(
            view, at, host, room, pc & MASK64, base, limit, self._tables, self.forms.roots,
            body, LARGEST_BLOCK - Record.SIZE,
        )  # fmt: skip
        self._run(self._code, self._job)
        status, count, size, length, facts, notes, links = _ANSWERS.unpack_from(
            view, at + 8 * Job.STATUS
        )
        if status == BAILED:
            return None
        steps = unpack_from(f"<{count}Q", view, at + 8 * Job.STEPS)
        listed = unpack_from(f"<{2 * links}Q", view, at + 8 * Job.LINK_LIST)
        offsets = [step & MASK32 for step in steps]
        pcs = [pc + (step >> 32) for step in steps]
        targets, places = list(listed[1::2]), list(listed[::2])
        code = bytes(_at_host(host, length))
        returns_to = None
        if status == OPEN:
            following = pc + length
            self._finish(goto, body + size, following, pcs[-1], base)
            targets.append(following)
            places.append(size)
            offsets.append(size)
            pcs.append(pcs[-1])
            size += goto.size
        elif facts & CALLS:
            returns_to = pc + length
            targets.append(returns_to)
        self._pool.take(size)
        return Translation(
            body, size, code, offsets, pcs, targets, None, len(pcs), returns_to,
            body + notes if facts & NOTES else None, places,
        )  # fmt: skip

    def _finish(self, goto: Form, record: int, target: int, pc: int, base: int) -> None:
        """The record that goes on with the next block."""
        start = record - self._maker.base
        _LINK.pack_into(self._maker.view, start, goto.address)
        _LINK.pack_into(
            self._maker.view, start + Record.LINK, unset_link(target, leaves_page(pc, target, base))
        )


def _at_host(address: int, length: int) -> bytes:
    from ctypes import string_at

    return string_at(address, length)


def _build(function: Function, decoder: NativeDecoder) -> None:
    build_translate(HostBuilder(function), decoder)

"""qcow2 images, versions 2 and 3: read, and written so that they are consistent at any moment.

Source: "qcow2.rst" of QEMU's documentation (docs/interop), the format's specification.

A disk's cluster is found by the L1 and L2 tables. What is written goes into the file at once, but
to clusters that no table on disk knows yet, if it had none of its own; tables and reference counts
change in memory, and `flush` writes them in the order in which each may refer to the one before:

    data, refcount blocks | refcount table | L2 tables | L1 table | what became free

with the host's disk synchronized at every bar that has something on its left. So whoever stops at
any moment, by kill -9 or by loss of power, leaves an image in which every reference is counted, as
it was at the last flush or later; what a flush had not finished is at worst a cluster that is
counted and not used. Clusters that are no longer used are given back only when no table on disk
refers to them.

Internal snapshots are kept: what they share is copied before it is written. Not supported:
encryption, external data files, extended L2 entries, zstd; bitmaps are kept, and marked as no
longer true (autoclear) by writing.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import Image, ImageError
from machine.images.qcow2_header import AUTOCLEAR_AT, CORRUPT, DIRTY, packed_place, parse_header
from machine.images.recounting import recount
from machine.images.refcounts import Refcounts, big_endian_words

COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1
OFFSET = 0x00FF_FFFF_FFFF_FE00

UNALLOCATED, ZEROS, PACKED, PLAIN = range(4)
"""Kinds of clusters; whose data are: the backing file's, none, compressed, at an offset."""

CACHE_BYTES = 8 << 20
"""How much of the L2 tables is kept, and how much may wait to be written."""


class Run(NamedTuple):
    """Neighbouring bytes of the disk that are of one kind, and in the file neighbours too."""

    kind: int
    offset: int
    entry: int
    """PLAIN: where it is in the file; PACKED: the L2 entry."""
    length: int


class Table:
    """An L2 table, and which of its bytes are not on disk yet."""

    __slots__ = ("data", "high", "low", "offset")

    def __init__(self, offset: int, data: bytearray) -> None:
        self.offset = offset
        self.data = data
        self.low = self.high = 0

    def get(self, index: int) -> int:
        return int.from_bytes(self.data[8 * index : 8 * index + 8], "big")

    def set(self, index: int, entry: int) -> None:
        at = 8 * index
        self.data[at : at + 8] = entry.to_bytes(8, "big")
        self.touch(at, at + 8)

    def touch(self, low: int, high: int) -> None:
        """These bytes are to be written."""
        if self.low == self.high:
            self.low, self.high = low, high
        else:
            self.low, self.high = min(self.low, low), max(self.high, high)


class Waiting(NamedTuple):
    """What a flush writes: tables with what has changed of them, L1 entries, free clusters."""

    tables: list[tuple[Table, int, int]]
    data: list[bytes]
    l1: dict[int, int]
    freed: list[int]


class Qcow2Image:
    """One image of a chain; `backing` is set by who opens the chain."""

    format = "qcow2"

    def __init__(
        self, file: HostFile, backing: Image | None = None, *, is_temporary: bool = False
    ) -> None:
        self._file = file
        self.header = parse_header(file)
        self.path = file.path
        self.size = -(-self.header.size // 512) * 512
        self.writable = file.writable
        self.backing = backing
        self._is_temporary = is_temporary
        self._cluster = self.header.cluster_size
        self._l2_entries = 1 << self.header.l2_bits
        raw = file.read_padded(self.header.l1_offset, 8 * self.header.l1_entries)
        self._l1 = big_endian_words(raw)
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self._dirty: set[Table] = set()
        self._dirty_l1: set[int] = set()
        self._freed: list[int] = []
        self._unpacked: tuple[int, bytes] = (0, b"")
        self._lock = threading.RLock()
        self._flushing = threading.Lock()
        self._refcounts: Refcounts | None = None
        self._metadata: set[int] = set()
        if self.writable:
            self._prepare_writing()

    def _prepare_writing(self) -> None:
        name = shown(self.path)
        if self.header.incompatible & CORRUPT:
            raise ImageError(f"{name}: is marked as corrupt; qemu-img check -r all may repair it")
        self._refcounts = Refcounts(self._file, self.header)
        if self.header.incompatible & DIRTY:
            recount(self._file, self.header, self._refcounts)
        l1 = self.header.l1_offset // self._cluster
        l1_clusters = -(-8 * self.header.l1_entries // self._cluster)
        self._metadata = {0, *range(l1, l1 + l1_clusters)}
        self._metadata |= {(entry & OFFSET) // self._cluster for entry in self._l1 if entry}
        if self.header.autoclear:
            self._file.write(AUTOCLEAR_AT, bytes(8))
            self.header.autoclear = 0

    # Reading

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            runs = list(self._runs(offset, length))
            if len(runs) == 1:
                return self._read_run(runs[0])
            return b"".join(map(self._read_run, runs))

    def _runs(self, offset: int, length: int) -> Iterator[Run]:
        """Cut a range of the disk into runs."""
        end = offset + length
        last: Run | None = None
        while offset < end:
            within = offset & self._cluster - 1
            step = min(self._cluster - within, end - offset)
            kind, entry = self._look_up(offset)
            if kind == PLAIN:
                entry += within
            if last is None:
                last = Run(kind, offset, entry, step)
            elif last.kind == kind != PACKED and (
                kind != PLAIN or last.entry + last.length == entry
            ):
                last = last._replace(length=last.length + step)
            else:
                yield last
                last = Run(kind, offset, entry, step)
            offset += step
        if last is not None:
            yield last

    def _look_up(self, offset: int) -> tuple[int, int]:
        """Find the kind of a disk's cluster, and where it is (PACKED: its L2 entry)."""
        number = offset >> self.header.cluster_bits
        table = self._table(number >> self.header.l2_bits)
        if table is None:
            return UNALLOCATED, 0
        entry = table.get(number & self._l2_entries - 1)
        if entry & COMPRESSED:
            return PACKED, entry
        if entry & ZERO and self.header.version >= 3:
            return ZEROS, 0
        where = entry & OFFSET
        if where & self._cluster - 1:
            raise self._damaged(f"the cluster of {offset:#x} is at {where:#x}")
        return (PLAIN, where) if where else (UNALLOCATED, 0)

    def _table(self, index: int) -> Table | None:
        """Return the L2 table of an L1 entry, None if there is none."""
        if index >= len(self._l1):
            return None
        where = self._l1[index] & OFFSET
        if not where:
            return None
        if table := self._tables.get(where):
            self._tables.move_to_end(where)
            return table
        if where & self._cluster - 1:
            raise self._damaged(f"L2 table {index} is at {where:#x}")
        data = self._file.read(where, self._cluster)
        if len(data) < self._cluster:
            raise self._damaged(f"L2 table {index} is beyond the end of the file")
        return self._keep(Table(where, bytearray(data)))

    def _keep(self, table: Table) -> Table:
        """Remember a table; the longest unused one that is on disk goes."""
        self._tables[table.offset] = table
        if len(self._tables) * self._cluster > CACHE_BYTES:
            for old in self._tables.values():
                if old not in self._dirty and old is not table:
                    del self._tables[old.offset]
                    break
        return table

    def _read_run(self, run: Run) -> bytes:
        if run.kind == PLAIN:
            return self._file.read_padded(run.entry, run.length)
        if run.kind == PACKED:
            within = run.offset & self._cluster - 1
            return self._unpack(run.entry)[within : within + run.length]
        if run.kind == UNALLOCATED and self.backing is not None:
            return self._read_backing(self.backing, run.offset, run.length)
        return bytes(run.length)

    @staticmethod
    def _read_backing(backing: Image, offset: int, length: int) -> bytes:
        """Read what is behind; a shorter disk there is followed by zeros."""
        there = max(0, min(length, backing.size - offset))
        return backing.read(offset, there).ljust(length, b"\0") if there else bytes(length)

    def _unpack(self, entry: int) -> bytes:
        """The data of a compressed cluster: a deflate stream without header."""
        if self._unpacked[0] == entry:
            return self._unpacked[1]
        where, end = packed_place(entry, self.header.cluster_bits)
        packed = self._file.read(where, end - where)
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self._cluster)
        except zlib.error:
            data = b""
        if len(data) < self._cluster:
            raise self._damaged(f"the compressed cluster at {where:#x} cannot be read")
        self._unpacked = entry, data
        return data

    # Writing

    def write(self, offset: int, data: bytes) -> None:
        if not self.writable:
            raise ImageError(f"{shown(self.path)}: is not open for writing")
        if offset + len(data) > self.size:
            raise ImageError(f"{shown(self.path)}: a write beyond the end of the disk")
        if len(self._dirty) * self._cluster > CACHE_BYTES // 2:
            self.flush()
        view = memoryview(data)
        with self._lock:
            while view:
                done = self._write_some(offset, view)
                offset, view = offset + done, view[done:]

    def _write_some(self, offset: int, view: memoryview) -> int:
        """Write the beginning: to clusters of their own, or to new ones; return how much."""
        index, table, number = self._own_table(offset)
        within = offset & self._cluster - 1
        most = min(self._l2_entries - number, self._counts.longest_run)
        length = min(len(view), most * self._cluster - within)
        entry = table.get(number)
        if self._is_own(entry):
            return self._write_in_place(table, number, within, view[:length])
        last = number + 1
        end = number - (-(within + length) // self._cluster)
        while last < end and not self._is_own(table.get(last)):
            last += 1
        length = min(length, (last - number) * self._cluster - within)
        self._write_new(index, table, number, last - number, within, view[:length])
        return length

    def _is_own(self, entry: int) -> bool:
        """Whether a cluster can be written where it is: nobody else refers to it."""
        return bool(
            entry & COPIED and not entry & COMPRESSED and not entry & ZERO and entry & OFFSET
        )

    def _write_in_place(self, table: Table, number: int, within: int, view: memoryview) -> int:
        """Write to clusters that follow one another in the file."""
        where = table.get(number) & OFFSET
        length = min(len(view), self._cluster - within)
        self._check_data_cluster(where)
        number += 1
        while length < len(view):
            entry = table.get(number)
            if not self._is_own(entry) or entry & OFFSET != where + within + length:
                break
            self._check_data_cluster(entry & OFFSET)
            length += min(self._cluster, len(view) - length)
            number += 1
        self._file.write(where + within, view[:length])
        return length

    def _write_new(
        self, index: int, table: Table, number: int, count: int, within: int, view: memoryview
    ) -> None:
        """Write to `count` clusters that get a new place, with what stood around it."""
        start = (index << self.header.l2_bits) + number << self.header.cluster_bits
        tail = count * self._cluster - within - len(view)
        head = self._old(start, within)
        end = start + within + len(view)
        data = b"".join((head, view, self._old(end, tail)))
        refcounts = self._counts
        first = refcounts.allocate(count)
        try:
            for cluster in range(first, first + count):
                self._check_data_cluster(cluster * self._cluster)
            self._file.write(first * self._cluster, data)
        except ImageError:
            for cluster in range(first, first + count):
                refcounts.release(cluster)
            raise
        for step in range(count):
            self._free_later(table.get(number + step))
            table.set(number + step, (first + step) * self._cluster | COPIED)
        self._dirty.add(table)

    def _old(self, offset: int, length: int) -> bytes:
        """What the disk has there; zeros beyond its end."""
        if not length:
            return b""
        there = max(0, min(length, self.size - offset))
        return self.read(offset, there).ljust(length, b"\0") if there else bytes(length)

    def _own_table(self, offset: int) -> tuple[int, Table, int]:
        """Return the L2 table for writing: made, or copied from one that a snapshot shares."""
        cluster = offset >> self.header.cluster_bits
        index, number = cluster >> self.header.l2_bits, cluster & self._l2_entries - 1
        old = self._table(index)
        if old is not None and self._l1[index] & COPIED:
            return index, old, number
        where = self._counts.allocate(1) * self._cluster
        self._check_data_cluster(where)
        table = Table(where, bytearray(self._cluster if old is None else old.data))
        table.low, table.high = 0, self._cluster
        self._dirty.add(table)
        self._metadata.add(where // self._cluster)
        if old is not None:
            self._dirty.discard(old)
            self._freed.append(old.offset // self._cluster)
        self._keep(table)
        self._l1[index] = where | COPIED
        self._dirty_l1.add(index)
        return index, table, number

    def _free_later(self, entry: int) -> None:
        """An L2 entry goes: its clusters, when no table on disk has it any more."""
        if entry & COMPRESSED:
            where, end = packed_place(entry, self.header.cluster_bits)
            self._freed += range(where // self._cluster, -(-end // self._cluster))
        elif where := entry & OFFSET:
            self._freed.append(where // self._cluster)

    @property
    def _counts(self) -> Refcounts:
        assert self._refcounts is not None
        return self._refcounts

    def _check_data_cluster(self, where: int) -> None:
        """Keep a damaged image from being damaged further: tables are not overwritten by data."""
        cluster, rest = divmod(where, self._cluster)
        if rest or cluster in self._metadata or cluster in self._counts.own:
            raise self._damaged(f"data would overwrite the tables at {where:#x}")

    # What must be on disk

    def flush(self) -> None:
        if not self.writable:
            return
        with self._flushing:
            with self._lock:
                self._counts.write_blocks()
                waiting = self._take_waiting()
            try:
                self._write_waiting(waiting)
            except ImageError:
                self._put_back(waiting)
                raise
            if waiting.freed:
                self._give_back(waiting.freed)

    def _take_waiting(self) -> Waiting:
        """What is to be written now; what changes meanwhile waits for the next flush."""
        tables = [(table, table.low, table.high) for table in self._dirty]
        data = [bytes(table.data[low:high]) for table, low, high in tables]
        for table in self._dirty:
            table.low = table.high = 0
        l1 = {index: self._l1[index] for index in self._dirty_l1}
        waiting = Waiting(tables, data, l1, self._freed)
        self._dirty, self._dirty_l1, self._freed = set(), set(), []
        return waiting

    def _write_waiting(self, waiting: Waiting) -> None:
        if waiting.tables or self._counts.has_dirty_table:
            self._sync()
        if self._counts.has_dirty_table:
            with self._lock:
                self._counts.write_blocks()
                self._sync()
                self._counts.write_table()
            self._sync()
        for (table, low, _), data in zip(waiting.tables, waiting.data, strict=True):
            self._file.write(table.offset + low, data)
        if waiting.l1:
            self._sync()
        for index, entry in waiting.l1.items():
            self._file.write(self.header.l1_offset + 8 * index, entry.to_bytes(8, "big"))
        self._sync()

    def _put_back(self, waiting: Waiting) -> None:
        """It could not be written; the next flush tries again."""
        with self._lock:
            for table, low, high in waiting.tables:
                table.touch(low, high)
                self._dirty.add(table)
            self._dirty_l1 |= waiting.l1.keys()
            self._freed += waiting.freed

    def _give_back(self, freed: list[int]) -> None:
        with self._lock:
            for cluster in freed:
                self._metadata.discard(cluster)
                self._tables.pop(cluster * self._cluster, None)
                self._counts.release(cluster)
            self._counts.write_blocks()

    def _sync(self) -> None:
        if not self._is_temporary:
            self._file.sync()

    def close(self) -> None:
        """Write what is not on disk yet; the backing files are closed too."""
        if self._file.fd < 0:
            return
        try:
            self.flush()
        finally:
            self._file.close()
            if self.backing is not None:
                self.backing.close()

    def _damaged(self, fact: str) -> ImageError:
        return ImageError(f"{shown(self.path)}: is a damaged qcow2 image: {fact}")

"""The reference counts of a qcow2 image: which clusters are in use, and finding free ones.

A table of two levels: the refcount table has the offsets of refcount blocks, each a cluster full of
counts of 2^order bits. Changes are made in memory and written by `write_blocks` and `write_table`,
in this order, so that a table on disk never names a block that is not there yet.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import ImageError
from machine.images.qcow2_header import REFCOUNT_TABLE_AT, Header


def big_endian_words(raw: bytes) -> array[int]:
    """Words of 64 bits, big endian."""
    words = array("Q", raw)
    if sys.byteorder == "little":
        words.byteswap()
    return words


class Refcounts:
    """The counts of one image that is open for writing."""

    def __init__(self, file: HostFile, header: Header) -> None:
        self._file = file
        self._header = header
        self._cluster = header.cluster_size
        self._order = header.refcount_order
        self.block_bits = header.cluster_bits + 3 - header.refcount_order
        """log2 of the counts in a block."""
        length = header.refcount_table_clusters * self._cluster
        raw = file.read_padded(header.refcount_table_offset, length)
        self._table = big_endian_words(raw)
        self._blocks: dict[int, bytearray] = {}
        self._dirty_blocks: set[int] = set()
        self._dirty_table: set[int] = set()
        self._first_free = 0
        """No cluster before is free."""
        self._next_run = 0
        """Where to look for several clusters in a row."""
        start = header.refcount_table_offset // self._cluster
        self.own = {*range(start, start + header.refcount_table_clusters)}
        """The clusters that hold the table and its blocks."""
        for number, offset in enumerate(self._table):
            if offset % self._cluster or offset >> 56:
                raise self._damaged(f"refcount block {number} is at {offset:#x}")
            if offset:
                self.own.add(offset // self._cluster)

    @property
    def longest_run(self) -> int:
        """So many clusters can be had in a row: a block's, but the first, where the block is."""
        return (1 << self.block_bits) - 1

    @property
    def has_dirty_table(self) -> bool:
        return bool(self._dirty_table)

    def get(self, cluster: int) -> int:
        block = self._block(cluster >> self.block_bits)
        return 0 if block is None else self._count(block, cluster & (1 << self.block_bits) - 1)

    def change(self, cluster: int, by: int) -> None:
        """Count one reference more or less."""
        count = self.get(cluster) + by
        if not 0 <= count < 1 << (1 << self._order):
            raise self._damaged(f"cluster {cluster:#x} would have {count} references")
        self._set(cluster, count)

    def allocate(self, count: int) -> int:
        """Take so many free clusters in a row, and return the first one's number."""
        first = self._find_free(count)
        while not self._has_block(first >> self.block_bits):
            self._add_block(first >> self.block_bits)
            first = self._find_free(count)
        for cluster in range(first, first + count):
            self._set(cluster, 1)
        if count == 1 or first == self._first_free:
            self._first_free = first + count
        self._next_run = max(self._next_run, first + count)
        return first

    def release(self, cluster: int) -> None:
        """Count one reference less; a cluster without any can be allocated again."""
        self.change(cluster, -1)
        self._first_free = min(self._first_free, cluster)
        self._next_run = min(self._next_run, cluster)

    def write_blocks(self) -> None:
        """Write all changed blocks."""
        for number in sorted(self._dirty_blocks):
            self._file.write(self._table[number], self._blocks[number])
        self._dirty_blocks.clear()
        if len(self._blocks) * self._cluster > 16 << 20:
            self._blocks.clear()

    def write_table(self) -> None:
        """Write all changed entries of the refcount table."""
        for number in sorted(self._dirty_table):
            at = self._header.refcount_table_offset + 8 * number
            self._file.write(at, self._table[number].to_bytes(8, "big"))
        self._dirty_table.clear()

    def replace(self, counts: Counter[int]) -> None:
        """Set all counts anew, and write them; `counts` are without table and blocks."""
        end = max((*counts, *self.own))
        if end * self._cluster >= self._file.size() + self._cluster:
            raise self._damaged("it refers to what is beyond the end of the file")
        self._add_missing_blocks({*counts, *self.own}, end + 1)
        for number, offset in enumerate(self._table):
            if offset:
                self._blocks[number] = bytearray(self._cluster)
                self._dirty_blocks.add(number)
        used = counts + Counter(self.own)
        for cluster, count in used.items():
            if count >> (1 << self._order):
                raise self._damaged(f"cluster {cluster:#x} has {count} references")
            self._set(cluster, count)
        self.write_blocks()
        self._file.sync()
        self.write_table()

    def _add_missing_blocks(self, used: set[int], end: int) -> None:
        """Make blocks for clusters that are used and have none; from `end` on all are free."""
        while missing := {one >> self.block_bits for one in used | self.own} - {
            number for number, offset in enumerate(self._table) if offset
        }:
            number = min(missing)
            if number >= len(self._table):
                raise self._damaged("its refcount table is too small; qemu-img check -r all")
            self._table[number] = end * self._cluster
            self.own.add(end)
            self._dirty_table.add(number)
            end += 1

    # Blocks

    def _block(self, number: int) -> bytearray | None:
        if block := self._blocks.get(number):
            return block
        if number >= len(self._table) or not self._table[number]:
            return None
        block = bytearray(self._file.read_padded(self._table[number], self._cluster))
        self._blocks[number] = block
        return block

    def _count(self, block: bytearray, index: int) -> int:
        if self._order >= 3:
            size = 1 << self._order - 3
            return int.from_bytes(block[index * size : index * size + size], "big")
        bits = 1 << self._order
        at = index << self._order
        return block[at >> 3] >> (at & 7) & (1 << bits) - 1

    def _set(self, cluster: int, count: int) -> None:
        number, index = cluster >> self.block_bits, cluster & (1 << self.block_bits) - 1
        block = self._block(number)
        if block is None:
            raise self._damaged(f"cluster {cluster:#x} has no refcount block")
        if self._order >= 3:
            size = 1 << self._order - 3
            block[index * size : index * size + size] = count.to_bytes(size, "big")
        else:
            at = index << self._order
            mask = (1 << (1 << self._order)) - 1 << (at & 7)
            block[at >> 3] = block[at >> 3] & ~mask | count << (at & 7)
        self._dirty_blocks.add(number)

    def _find_free(self, wanted: int) -> int:
        """Find the first of so many free clusters in a row.

        Where there is no block yet all are free, but the first, where the block will be.
        """
        cluster, run = self._first_free if wanted == 1 else self._next_run, 0
        while run < wanted:
            block = self._block(cluster >> self.block_bits)
            if block is None:
                return (cluster >> self.block_bits << self.block_bits) + 1
            if self._count(block, cluster & (1 << self.block_bits) - 1) == 0:
                cluster, run = cluster + 1, run + 1
            else:
                cluster, run = self._next_zero(block, cluster), 0
        return cluster - run

    def _has_block(self, number: int) -> bool:
        return number < len(self._table) and self._table[number] != 0

    def _next_zero(self, block: bytearray, cluster: int) -> int:
        """The next cluster after a used one that may be free: in this block, or the next one's."""
        per_block = 1 << self.block_bits
        index = (cluster & per_block - 1) + 1
        size = 1 << self._order - 3 if self._order >= 3 else 1
        per_byte = 1 if self._order >= 3 else 8 >> self._order
        if per_byte > 1:
            while index < per_block and self._count(block, index):
                index += 1
            return (cluster & ~(per_block - 1)) + index
        zero = bytes(size)
        at = block.find(zero, index * size)
        while at >= 0 and at % size:
            at = block.find(zero, at + 1)
        return (cluster & ~(per_block - 1)) + (per_block if at < 0 else at // size)

    # Growing

    def _add_block(self, number: int) -> None:
        """Make a block for clusters that have none; it lies on the first of them."""
        if number == 0:
            raise self._damaged("its first clusters are not counted")
        if number >= len(self._table):
            self._grow_table()
            return
        offset = (number << self.block_bits) * self._cluster
        self._table[number] = offset
        self._blocks[number] = bytearray(self._cluster)
        self._dirty_table.add(number)
        self.own.add(offset // self._cluster)
        self._set(number << self.block_bits, 1)

    def _grow_table(self) -> None:
        """Move the refcount table to where it has twice the room, in an order that survives.

        The new table lies behind all that the old one could count, after the blocks that count it.
        """
        old, entries = self._header.refcount_table_clusters, len(self._table)
        new = 2 * old
        first = entries << self.block_bits
        blocks = 1
        while blocks << self.block_bits < blocks + new:
            blocks += 1
        if entries + blocks > new * self._cluster // 8:
            raise self._damaged("the refcount table cannot grow")
        self._table.extend([0] * (new * self._cluster // 8 - entries))
        for number in range(blocks):
            self._table[entries + number] = (first + number) * self._cluster
            self._blocks[entries + number] = bytearray(self._cluster)
        for cluster in range(first, first + blocks + new):
            self._set(cluster, 1)
        table_at = (first + blocks) * self._cluster
        self.write_blocks()
        self._file.write(table_at, struct.pack(f">{len(self._table)}Q", *self._table))
        self._file.sync()
        place = struct.pack(">QI", table_at, new)
        self._file.write(REFCOUNT_TABLE_AT, place)
        self._file.sync()
        before = self._header.refcount_table_offset // self._cluster
        self._header.refcount_table_offset, self._header.refcount_table_clusters = table_at, new
        self._dirty_table.clear()
        self.own |= {*range(first, first + blocks + new)}
        for cluster in range(before, before + old):
            self.own.discard(cluster)
            self.release(cluster)

    def _damaged(self, fact: str) -> ImageError:
        return ImageError(f"{shown(self._file.path)}: is a damaged qcow2 image: {fact}")

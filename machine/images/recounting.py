"""Counting the clusters of a qcow2 image anew.

An image with lazy reference counts has its dirty bit set while it is written; if it was not closed,
the counts on the disk are old. Everything that refers to clusters is followed, and the counts are
replaced.
"""

from __future__ import annotations

from collections import Counter

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import ImageError
from machine.images.qcow2_header import (
    DIRTY,
    INCOMPATIBLE_AT,
    Header,
    packed_place,
    parse_snapshots,
)
from machine.images.refcounts import Refcounts, big_endian_words

BITMAPS = 0x23852875
"""The header extension of persistent bitmaps, which have clusters too."""
COMPRESSED, OFFSET = 1 << 62, 0x00FF_FFFF_FFFF_FE00


def recount(file: HostFile, header: Header, refcounts: Refcounts) -> None:
    """Replace all counts and clear the dirty bit. Raises ImageError."""
    if BITMAPS in header.extensions:
        raise ImageError(
            f"{shown(file.path)}: was not closed properly, and has bitmaps;"
            " qemu-img check -r all counts its clusters"
        )
    refcounts.replace(_references(file, header))
    file.sync()
    header.incompatible &= ~DIRTY
    file.write(INCOMPATIBLE_AT, header.incompatible.to_bytes(8, "big"))
    file.sync()


def _references(file: HostFile, header: Header) -> Counter[int]:
    """Count all references but those to refcount table and blocks."""
    counts: Counter[int] = Counter({0: 1})
    snapshots, length = parse_snapshots(file, header)
    _add(counts, header, header.snapshots_offset, length)
    tables = [(header.l1_offset, header.l1_entries)]
    tables += [(one.l1_offset, one.l1_entries) for one in snapshots]
    for offset, entries in tables:
        _add(counts, header, offset, 8 * entries)
        for word in big_endian_words(file.read_padded(offset, 8 * entries)):
            if where := word & OFFSET:
                counts[where >> header.cluster_bits] += 1
                _add_clusters(counts, file, header, where)
    return counts


def _add(counts: Counter[int], header: Header, offset: int, length: int) -> None:
    """One reference to each cluster of a table."""
    if length:
        first, last = offset >> header.cluster_bits, offset + length - 1 >> header.cluster_bits
        counts.update(range(first, last + 1))


def _add_clusters(counts: Counter[int], file: HostFile, header: Header, table: int) -> None:
    """The clusters that one L2 table refers to."""
    bits = header.cluster_bits
    for entry in big_endian_words(file.read_padded(table, header.cluster_size)):
        if entry & COMPRESSED:
            where, end = packed_place(entry, bits)
            counts.update(range(where >> bits, (end - 1 >> bits) + 1))
        elif where := entry & OFFSET:
            counts[where >> bits] += 1

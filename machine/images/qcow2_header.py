"""The header of a qcow2 image, its extensions and its table of snapshots.

Source: "qcow2.rst" of QEMU's documentation (docs/interop), the format's specification.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import ImageError

DIRTY, CORRUPT, EXTERNAL_DATA, COMPRESSION, EXTENDED_L2 = 1, 2, 4, 8, 16
"""Incompatible features: who does not know them cannot use the image."""

FEATURE_NAMES = {
    EXTERNAL_DATA: "an external data file",
    COMPRESSION: "a compression other than deflate",
    EXTENDED_L2: "extended L2 entries",
}

INCOMPATIBLE_AT, AUTOCLEAR_AT = 72, 88
"""Where the features are."""
REFCOUNT_TABLE_AT = 48
"""Where offset (8 bytes) and clusters (4 bytes) of the refcount table are."""

V2_LENGTH, V3_LENGTH = 72, 104
BACKING_FORMAT, FEATURE_TABLE = 0xE2792ACA, 0x6803F857

MAX_L1_BYTES, MAX_REFCOUNT_TABLE_BYTES = 32 << 20, 8 << 20
MAX_SNAPSHOTS, MAX_BACKING_NAME = 65536, 1023
MAX_SIZE = 1 << 62
SNAPSHOT_LENGTH = 40
"""An entry of the table of snapshots, without what has no fixed length."""


@dataclass(slots=True)
class Header:
    """What the header says, checked. Offsets and sizes are in bytes."""

    version: int
    cluster_bits: int
    size: int
    l1_offset: int
    l1_entries: int
    refcount_table_offset: int
    refcount_table_clusters: int
    refcount_order: int
    snapshots_offset: int
    snapshots: int
    incompatible: int
    compatible: int
    autoclear: int
    header_length: int
    backing_file: str
    backing_format: str | None
    extensions: dict[int, bytes]

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits

    @property
    def l2_bits(self) -> int:
        """An L2 table is one cluster of entries of 8 bytes."""
        return self.cluster_bits - 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An entry of the table of snapshots, as far as it refers to clusters."""

    l1_offset: int
    l1_entries: int


@functools.cache
def layouts() -> Any:
    """Return the construct of header, extensions and snapshot, which takes long to import."""
    from types import SimpleNamespace

    from construct import Aligned, Bytes, Const, If, Int16ub, Int32ub, Int64ub, Struct, this

    # fmt: off
    header = Struct(
        "magic"                   / Const(b"QFI\xfb"),
        "version"                 / Int32ub,
        "backing_file_offset"     / Int64ub,
        "backing_file_size"       / Int32ub,
        "cluster_bits"            / Int32ub,
        "size"                    / Int64ub,
        "crypt_method"            / Int32ub,
        "l1_size"                 / Int32ub,
        "l1_table_offset"         / Int64ub,
        "refcount_table_offset"   / Int64ub,
        "refcount_table_clusters" / Int32ub,
        "nb_snapshots"            / Int32ub,
        "snapshots_offset"        / Int64ub,
        "v3" / If(this.version >= 3, Struct(
            "incompatible_features" / Int64ub,
            "compatible_features"   / Int64ub,
            "autoclear_features"    / Int64ub,
            "refcount_order"        / Int32ub,
            "header_length"         / Int32ub,
        )),
    )
    extension = Struct(
        "type"   / Int32ub,
        "length" / Int32ub,
        "data"   / Aligned(8, Bytes(this.length)),
    )
    snapshot = Struct(
        "l1_table_offset" / Int64ub,
        "l1_size"         / Int32ub,
        "id_size"         / Int16ub,
        "name_size"       / Int16ub,
        "date_sec"        / Int32ub,
        "date_nsec"       / Int32ub,
        "vm_clock_nsec"   / Int64ub,
        "vm_state_size"   / Int32ub,
        "extra_data_size" / Int32ub,
    )
    # fmt: on
    return SimpleNamespace(header=header, extension=extension, snapshot=snapshot)


def parse_header(file: HostFile) -> Header:
    """Read and check the header; every reason not to go on is an ImageError."""
    from construct import ConstructError

    name = shown(file.path)
    head = file.read(0, V3_LENGTH)
    try:
        raw = layouts().header.parse(head)
    except ConstructError:
        raise ImageError(f"{name}: is a truncated or damaged qcow2 image: no header") from None
    if raw.version not in (2, 3):
        raise ImageError(f"{name}: is qcow2 version {raw.version}; there are 2 and 3")
    v3 = raw.v3
    header = Header(
        version=raw.version,
        cluster_bits=raw.cluster_bits,
        size=raw.size,
        l1_offset=raw.l1_table_offset,
        l1_entries=raw.l1_size,
        refcount_table_offset=raw.refcount_table_offset,
        refcount_table_clusters=raw.refcount_table_clusters,
        refcount_order=v3.refcount_order if v3 else 4,
        snapshots_offset=raw.snapshots_offset,
        snapshots=raw.nb_snapshots,
        incompatible=v3.incompatible_features if v3 else 0,
        compatible=v3.compatible_features if v3 else 0,
        autoclear=v3.autoclear_features if v3 else 0,
        header_length=v3.header_length if v3 else V2_LENGTH,
        backing_file="",
        backing_format=None,
        extensions={},
    )
    if raw.crypt_method:
        raise ImageError(f"{name}: is encrypted, which is not supported")
    if wrong := _what_is_wrong(header, file):
        raise ImageError(f"{name}: is a damaged qcow2 image: {wrong}")
    end = min(raw.backing_file_offset or header.cluster_size, header.cluster_size)
    header.extensions = _extensions(file, header.header_length, end)
    _check_features(header, name)
    if raw.backing_file_offset:
        _add_backing(header, file, raw.backing_file_offset, raw.backing_file_size)
    return header


def _what_is_wrong(header: Header, file: HostFile) -> str | None:
    """Name the first fact about the tables that cannot be."""
    if not 9 <= header.cluster_bits <= 21:
        return f"clusters of 2^{header.cluster_bits} bytes; they have 2^9 to 2^21"
    cluster = header.cluster_size
    if header.version >= 3 and not V3_LENGTH <= header.header_length <= cluster:
        return f"a header of {header.header_length} bytes"
    if header.refcount_order > 6:
        return f"refcounts of 2^{header.refcount_order} bits; they have at most 64"
    if header.size > MAX_SIZE:
        return f"a disk of {header.size} bytes"
    per_l1_entry = cluster << header.l2_bits
    l1_needed = -(-header.size // per_l1_entry)
    if not l1_needed <= header.l1_entries <= MAX_L1_BYTES // 8:
        return f"an L1 table of {header.l1_entries} entries; {l1_needed} are needed"
    refcount_bytes = header.refcount_table_clusters * cluster
    if not 0 < refcount_bytes <= MAX_REFCOUNT_TABLE_BYTES:
        return f"a refcount table of {header.refcount_table_clusters} clusters"
    end = file.size()
    for table, offset, length in (
        ("L1 table", header.l1_offset, header.l1_entries * 8),
        ("refcount table", header.refcount_table_offset, refcount_bytes),
    ):
        if length and (offset % cluster or not offset):
            return f"the {table} at {offset:#x}"
        if offset + length > -(-end // cluster) * cluster:
            return f"the {table} is beyond the end of the file, which was truncated"
    if header.snapshots > MAX_SNAPSHOTS or header.snapshots_offset % cluster:
        return f"{header.snapshots} snapshots at {header.snapshots_offset:#x}"
    return None


def _extensions(file: HostFile, start: int, end: int) -> dict[int, bytes]:
    """Header extensions by type, up to the one of type 0."""
    from construct import ConstructError

    area = file.read(start, max(0, end - start))
    found: dict[int, bytes] = {}
    at = 0
    while at + 8 <= len(area):
        kind, length = int.from_bytes(area[at : at + 4], "big"), area[at + 4 : at + 8]
        if kind == 0:
            break
        if at + 8 + int.from_bytes(length, "big") > len(area):
            raise ImageError(
                f"{shown(file.path)}: is a damaged qcow2 image: header extension {kind:#x}"
                " is too long"
            )
        padded = area[at:].ljust(len(area) - at + 8, b"\0")
        try:
            extension = layouts().extension.parse(padded)
        except ConstructError:
            break
        found[kind] = extension.data
        at += 8 + -(-extension.length // 8) * 8
    return found


def _check_features(header: Header, name: str) -> None:
    """Incompatible features that are not known here end it, by their name if they have one."""
    for bit in range(64):
        feature = 1 << bit
        if not header.incompatible & feature or feature in (DIRTY, CORRUPT):
            continue
        known = FEATURE_NAMES.get(feature) or _named(header, bit) or f"incompatible feature {bit}"
        raise ImageError(f"{name}: needs {known}, which is not supported")


def _named(header: Header, bit: int) -> str | None:
    """The feature's name in the image's own table: type, bit, 46 bytes of name."""
    table = header.extensions.get(FEATURE_TABLE, b"")
    for at in range(0, len(table) - 47, 48):
        if table[at] == 0 and table[at + 1] == bit:
            text = table[at + 2 : at + 48].split(b"\0")[0].decode(errors="backslashreplace")
            return f"the feature {shown(text)}"
    return None


def _add_backing(header: Header, file: HostFile, offset: int, length: int) -> None:
    if length > MAX_BACKING_NAME or offset + length > header.cluster_size:
        raise ImageError(
            f"{shown(file.path)}: is a damaged qcow2 image: a backing file's name of {length}"
            f" bytes at {offset:#x}"
        )
    header.backing_file = file.read(offset, length).decode(errors="surrogateescape")
    if given := header.extensions.get(BACKING_FORMAT):
        header.backing_format = given.decode(errors="backslashreplace")


def parse_snapshots(file: HostFile, header: Header) -> tuple[list[Snapshot], int]:
    """Read the table of snapshots; also how many bytes it has."""
    from construct import ConstructError

    at, found = header.snapshots_offset, []
    end, bad = file.size(), f"{shown(file.path)}: is a damaged qcow2 image: snapshot"
    for number in range(header.snapshots):
        try:
            raw = layouts().snapshot.parse(file.read(at, SNAPSHOT_LENGTH))
        except ConstructError:
            raise ImageError(f"{bad} {number} is cut off") from None
        length = 8 * raw.l1_size
        if length > MAX_L1_BYTES or raw.l1_table_offset + length > end + header.cluster_size:
            raise ImageError(f"{bad} {number} has an L1 table beyond the end of the file")
        found.append(Snapshot(raw.l1_table_offset, raw.l1_size))
        length = SNAPSHOT_LENGTH + raw.extra_data_size + raw.id_size + raw.name_size
        at += -(-length // 8) * 8
    return found, at - header.snapshots_offset


def packed_place(entry: int, cluster_bits: int) -> tuple[int, int]:
    """Where a compressed cluster begins, and the end of the last sector that it touches."""
    count_bits = cluster_bits - 8
    where = entry & (1 << 62 - count_bits) - 1
    sectors = (entry >> 62 - count_bits & (1 << count_bits) - 1) + 1
    return where, (where & ~511) + 512 * sectors

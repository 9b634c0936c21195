"""Making qcow2 images."""

from __future__ import annotations

import struct
from pathlib import Path

from machine.images.qcow2_header import BACKING_FORMAT, V3_LENGTH

CLUSTER_BITS = 16


def create_qcow2(
    path: str,
    size: int,
    *,
    cluster_bits: int = CLUSTER_BITS,
    refcount_order: int = 4,
    backing_file: str = "",
    backing_format: str = "",
) -> None:
    """Write an empty image of version 3: header, refcount table, one refcount block, L1 table.

    The block counts them all: 16-bit counts of 64 KiB clusters reach for an L1 table of 2 GiB.
    """
    cluster = 1 << cluster_bits
    l1_entries = -(-size // (cluster * cluster // 8))
    l1_clusters = max(1, -(-8 * l1_entries // cluster))
    used = 3 + l1_clusters
    if used << refcount_order > 8 * cluster:
        raise ValueError(f"{size} bytes are too many for clusters of {cluster}")
    name = backing_file.encode(errors="surrogateescape")
    extensions = b""
    if backing_format:
        value = backing_format.encode()
        padded = value.ljust(-(-len(value) // 8) * 8, b"\0")
        extensions = struct.pack(">II", BACKING_FORMAT, len(value)) + padded
    extensions += bytes(8)
    name_at = V3_LENGTH + len(extensions) if name else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", 3, name_at, len(name), cluster_bits, size, 0, l1_entries, 3 * cluster),
        *(cluster, 1, 0, 0, 0, 0, 0, refcount_order, V3_LENGTH),
    )
    with Path(path).open("wb") as file:
        file.write((header + extensions + name).ljust(cluster, b"\0"))
        file.write((2 * cluster).to_bytes(8, "big").ljust(cluster, b"\0"))
        file.write(_counts_of_one(used, refcount_order).ljust(cluster, b"\0"))
        file.truncate(used * cluster)


def _counts_of_one(count: int, order: int) -> bytes:
    """So many counts of one."""
    if order >= 3:
        return (1).to_bytes(1 << order - 3, "big") * count
    ones = sum(1 << (index << order) for index in range(count))
    return ones.to_bytes(-(-(count << order) // 8), "little")

"""As much of a FAT16 file system as a test needs: one partition, empty, and what is in its root."""

from __future__ import annotations

import struct

SECTOR = 512
HIDDEN, HEADS, SECTORS = 63, 16, 63
RESERVED, FAT_COUNT, ROOT_ENTRIES, CLUSTER = 1, 2, 512, 4
ROOT_SECTORS = ROOT_ENTRIES * 32 // SECTOR


def fat_sectors(total: int) -> int:
    return -(-(total // CLUSTER + 2) * 2 // SECTOR)


def disk(cylinders: int) -> bytearray:
    """A disk with a partition of its full size."""
    whole = cylinders * HEADS * SECTORS
    total = whole - HIDDEN - HEADS * SECTORS
    image = bytearray(whole * SECTOR)
    last = cylinders - 2
    end = (HEADS - 1, SECTORS | (last >> 2 & 0xC0), last & 255)
    entry = struct.pack("<8BII", 0x80, 1, 1, 0, 6, *end, HIDDEN, total)
    image[0x1BE:0x1CE], image[510:512] = entry, b"\x55\xaa"
    fat = fat_sectors(total)
    boot = struct.pack(
        "<3s8sHBHBHHBHHHIIBBBI11s8s", b"\xeb\x3c\x90", b"TEST    ", SECTOR, CLUSTER, RESERVED,
        FAT_COUNT, ROOT_ENTRIES, 0, 0xF8, fat, SECTORS, HEADS, HIDDEN, total, 0x80, 0, 0x29, 1,
        b"NO NAME    ", b"FAT16   ",
    )  # fmt: skip
    start = HIDDEN * SECTOR
    image[start : start + len(boot)], image[start + 510 : start + 512] = boot, b"\x55\xaa"
    for copy in range(FAT_COUNT):
        at = start + (RESERVED + copy * fat) * SECTOR
        image[at : at + 4] = b"\xf8\xff\xff\xff"
    return image


def files(image: bytes) -> dict[str, bytes]:
    """Files in the root, by name; of every one as many bytes as its entry says."""
    start = HIDDEN * SECTOR
    (fat,) = struct.unpack_from("<H", image, start + 22)
    table = start + RESERVED * SECTOR
    root = table + FAT_COUNT * fat * SECTOR
    found = {}
    for at in range(root, root + ROOT_ENTRIES * 32, 32):
        name = image[at : at + 11]
        if name[0] in {0, 0xE5} or image[at + 11] & 8:
            continue
        cluster, size = struct.unpack_from("<HI", image, at + 26)
        data = b""
        while 2 <= cluster < 0xFFF0:
            place = root + ROOT_SECTORS * SECTOR + (cluster - 2) * CLUSTER * SECTOR
            data += image[place : place + CLUSTER * SECTOR]
            (cluster,) = struct.unpack_from("<H", image, table + 2 * cluster)
        found[name.decode("ascii")] = data[:size]
    return found

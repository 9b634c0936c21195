"""Which format an image has, by its first bytes, as QEMU finds it."""

from __future__ import annotations

HEAD = 2048
"""So many bytes are looked at."""

# fmt: off
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0,    b"QFI\xfb\0\0\0\1",                "qcow"),
    (0,    b"QED\0",                          "qed"),
    (0,    b"KDMV",                           "vmdk"),
    (0,    b"COWD",                           "vmdk"),
    (0,    b"# Disk DescriptorFile",          "vmdk"),
    (0x40, b"\x7f\x10\xda\xbe",               "vdi"),
    (0,    b"vhdxfile",                       "vhdx"),
    (0,    b"conectix",                       "vpc"),
    (0,    b"LUKS\xba\xbe",                   "luks"),
    (0,    b"WithoutFreeSpace",               "parallels"),
    (0,    b"WithouFreSpacExt",               "parallels"),
    (0,    b"Bochs Virtual HD Image",         "bochs"),
    (0,    b"#!/bin/sh\n#V2.0 Format\n",      "cloop"),
)
# fmt: on

READABLE = ("raw", "qcow2")
KNOWN = (*READABLE, *dict.fromkeys(name for _, _, name in _SIGNATURES))


def probe(head: bytes) -> str:
    r"""Name the format that these first bytes of a file belong to.

    >>> probe(b"QFI\xfb\0\0\0\3")
    'qcow2'
    """
    if head[:4] == b"QFI\xfb" and int.from_bytes(head[4:8], "big") >= 2:
        return "qcow2"
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    return "raw"

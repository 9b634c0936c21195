"""Values that random cases are made of: the corners of every kind of number.

A pool is a row of 2**n items of one to four 64-bit words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from tests.frontends.x86 import case

POOL_BITS = 9
MASK64 = (1 << 64) - 1

# fmt: off
INTEGERS = (
    0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF,
    0x100, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001,
    0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000,
    0x8000_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFE, 0xFFFF_FFFF_FFFF_FFFF, 0xAAAA_AAAA_AAAA_AAAA,
    0x5555_5555_5555_5555, 0x0123_4567_89AB_CDEF, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_FFFF_8000,
    0xFFFF_FFFF_FFFF_FF80, 0xFFFF_FFFF_0000_0000, 0x99, 0x9999, 0x0F0F, 0x8080_8080_8080_8080,
)
SINGLES = (
    0x0000_0000, 0x3F80_0000, 0x3F80_0001, 0x3F7F_FFFF, 0x4000_0000, 0x3F00_0000, 0x3FC0_0000,
    0x7F7F_FFFF, 0x0080_0000, 0x007F_FFFF, 0x0000_0001, 0x7F80_0000, 0x7FC0_0000, 0x7F80_0001,
    0x7FA0_0000, 0x7FC1_2345, 0x7F92_3456, 0x4B00_0000, 0x4B7F_FFFF, 0x4F00_0000, 0x4EFF_FFFF,
    0x5F00_0000, 0x5EFF_FFFF, 0x0000_0007, 0x0040_0000, 0x3EFF_FFFF, 0x4380_0000, 0x47FF_F000,
)
DOUBLES = (
    0x0000000000000000, 0x3FF0000000000000, 0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF,
    0x4000000000000000, 0x3FE0000000000000, 0x3FF8000000000000, 0x7FEFFFFFFFFFFFFF,
    0x0010000000000000, 0x000FFFFFFFFFFFFF, 0x0000000000000001, 0x7FF0000000000000,
    0x7FF8000000000000, 0x7FF0000000000001, 0x7FF4000000000000, 0x7FFC123456789ABC,
    0x7FF123456789ABCD, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000, 0x3810000000000000,
    0x380FFFFFE0000000, 0x36A0000000000000, 0x3690000000000000, 0x41DFFFFFFFC00000,
    0x41DFFFFFFFE00000, 0x41E0000000000000, 0x41DFFFFFFFF00000, 0x41E0000000100000,
    0x43DFFFFFFFFFFFFF, 0x43E0000000000000, 0x43F0000000000000, 0x4330000000000000,
    0x433FFFFFFFFFFFFF, 0x0008000000000000, 0x40C3880000000000, 0x3FDFFFFFFFFFFFFF,
)
EXTENDED = (
    (0x0000, 0x0000000000000000), (0x3FFF, 0x8000000000000000), (0x3FFF, 0x8000000000000001),
    (0x3FFE, 0xFFFFFFFFFFFFFFFF), (0x4000, 0x8000000000000000), (0x3FFE, 0x8000000000000000),
    (0x3FFF, 0xC000000000000000), (0x7FFE, 0xFFFFFFFFFFFFFFFF), (0x0001, 0x8000000000000000),
    (0x0000, 0x7FFFFFFFFFFFFFFF), (0x0000, 0x0000000000000001), (0x7FFF, 0x8000000000000000),
    (0x7FFF, 0xC000000000000000), (0x7FFF, 0x8000000000000001), (0x7FFF, 0xA000000000000000),
    (0x7FFF, 0xC123456789ABCDEF), (0x7FFF, 0xFFFFFFFFFFFFFFFF), (0x0000, 0x8000000000000000),
    (0x403E, 0xFFFFFFFFFFFFFFFF), (0x403D, 0xFFFFFFFFFFFFFFFE), (0x401D, 0xFFFFFFFE00000000),
    (0x400D, 0xFFFE000000000000), (0x403A, 0xDE0B6B3A763FFFF0), (0x4000, 0xC90FDAA22168C235),
    (0x43FE, 0xFFFFFFFFFFFFF800), (0x407E, 0xFFFFFF0000000000), (0x3C01, 0x8000000000000000),
    (0x3F81, 0x8000000000000000), (0x3BCD, 0x8000000000000000), (0x3F6A, 0x8000000000000000),
)
UNSUPPORTED = (
    (0x3FFF, 0x0000000000000001), (0x7FFF, 0x0000000000000000), (0x7FFF, 0x4000000000000000),
    (0x4000, 0x7FFFFFFFFFFFFFFF),
)
"""Pseudo-infinity, pseudo-NaN, unnormals (SDM vol. 1, table 8-3)."""
# fmt: on

STATUS_FLAGS = 0x8D5
DIRECTION = 0x400


def integer(random: Random) -> int:
    """64 bits, of which the lower ones are interesting too."""
    match random.randrange(6):
        case 0 | 1:
            return random.choice(INTEGERS)
        case 2:
            power = random.choice((1, -1)) << random.randrange(64)
            return (power - random.randrange(2)) & MASK64
        case 3:
            high, low = random.choice(INTEGERS), random.choice(INTEGERS)
            return (high << random.choice((8, 16, 32)) | low) & MASK64
        case 4:
            return random.getrandbits(random.randrange(1, 65))
        case _:
            return random.getrandbits(64)


def single(random: Random) -> int:
    """The bits of a single."""
    sign = random.getrandbits(1) << 31
    match random.randrange(5):
        case 0 | 1:
            return random.choice(SINGLES) | sign
        case 2:
            return sign | random.randrange(120, 135) << 23 | random.getrandbits(23)
        case 3:
            return sign | random.randrange(127, 160) << 23 | random.choice((0, 0x400000, 0x7FFFFF))
        case _:
            return random.getrandbits(32)


def double(random: Random) -> int:
    """The bits of a double."""
    sign = random.getrandbits(1) << 63
    match random.randrange(6):
        case 0 | 1:
            return random.choice(DOUBLES) | sign
        case 2:
            return sign | random.randrange(1015, 1032) << 52 | random.getrandbits(52)
        case 3:
            return sign | random.randrange(1023, 1090) << 52 | random.getrandbits(52)
        case 4:
            exponent = random.randrange(890, 1160)
            return sign | exponent << 52 | random.getrandbits(23) << 29
        case _:
            return random.getrandbits(64)


def extended(random: Random) -> int:
    """The bits of an 80-bit number."""
    sign = random.getrandbits(1) << 15
    match random.randrange(7):
        case 0 | 1:
            exponent, significand = random.choice(EXTENDED)
        case 2:
            exponent = random.randrange(16383 - 8, 16383 + 9)
            significand = 1 << 63 | random.getrandbits(63)
        case 3:
            exponent = random.randrange(16383, 16383 + 70)
            significand = 1 << 63 | random.getrandbits(random.choice((4, 23, 52, 63)))
            significand |= random.getrandbits(11) << 52
        case 4:
            near, tiny = random.randrange(16383 - 1100, 16383 + 1100), random.randrange(70)
            exponent = random.choice((near, tiny))
            significand = (1 << 63 if exponent else 0) | random.getrandbits(63)
        case 5:
            exponent = 16383 + random.randrange(-3, 63)
            significand = random.getrandbits(24) << 40 | 1 << 63
        case _:
            exponent = random.randrange(1, 0x7FFF)
            significand = 1 << 63 | random.getrandbits(63)
            if random.randrange(8) == 0:
                exponent, significand = random.choice(UNSUPPORTED)
    return (sign | exponent) << 64 | significand


def pair(random: Random, lane: Callable[[Random], int], bits: int) -> int:
    """Lanes of that many bits in 64."""
    return sum(lane(random) % (1 << bits) << at for at in range(0, 64, bits))


def vector(random: Random) -> int:
    """128 bits: singles, doubles, integers of all sizes."""
    integers = ((integer, bits) for bits in (8, 16, 32, 64))
    lane, bits = random.choice(((single, 32), (double, 64), *integers))
    return pair(random, lane, bits) | pair(random, lane, bits) << 64


def singles(random: Random) -> int:
    """128 bits of singles."""
    return pair(random, single, 32) | pair(random, single, 32) << 64


def doubles(random: Random) -> int:
    """128 bits of doubles."""
    return double(random) | double(random) << 64


def words(random: Random) -> int:
    """128 bits of integers of one size."""
    bits = random.choice((8, 16, 32, 64))
    return pair(random, integer, bits) | pair(random, integer, bits) << 64


def status_flags(random: Random) -> int:
    """RFLAGS with any status flags."""
    return random.getrandbits(12) & STATUS_FLAGS | 0x202


def string_flags(random: Random) -> int:
    """RFLAGS with any status flags and direction."""
    return random.getrandbits(12) & (STATUS_FLAGS | DIRECTION) | 0x202


def mxcsr(random: Random) -> int:
    """MXCSR: mostly all masked, rounding, now and then flushing and traps; MXCSR_MASK above."""
    value = 0x1F80
    if random.randrange(2):
        value |= random.getrandbits(2) << 13 | random.choice((0, 0x3F, random.getrandbits(6)))
    if random.randrange(4) == 0:
        value |= random.choice((0x40, 0x8000, 0x8040))
    if random.randrange(16) == 0:
        value &= ~(random.getrandbits(6) << 7) & ~0x3F
    return value | 0xFFFF << 32


def x87_words(random: Random) -> int:
    """FCW, FSW and the abridged FTW: full stacks mostly, some with empty places."""
    fcw = 0x37F
    if random.randrange(2):
        fcw = 0x7F | random.getrandbits(2) << 10 | random.choice((0, 2, 3, 3, 3)) << 8
    if random.randrange(16) == 0:
        fcw &= ~random.getrandbits(6)
    fsw = random.getrandbits(3) << 11
    if random.randrange(2):
        fsw |= random.getrandbits(16) & 0x4700
    if random.randrange(4) == 0:
        fsw |= random.getrandbits(7)
        if fsw & 0x3F & ~fcw:
            fsw &= ~0x3F
    ftw = 0xFF if random.randrange(4) else random.getrandbits(8)
    return fcw | fsw << 16 | ftw << 32


def mmx_words(random: Random) -> int:
    """FCW, FSW and FTW for MMX instructions."""
    return x87_words(random)


POOLS: dict[str, tuple[Callable[[Random], int], int]] = {
    "integer": (integer, 1),
    "vector": (vector, 2),
    "singles": (singles, 2),
    "doubles": (doubles, 2),
    "words": (words, 2),
    "extended": (extended, 2),
    "mmx": (lambda random: 0xFFFF << 64 | words(random) & MASK64, 2),
    "flags": (status_flags, 1),
    "string_flags": (string_flags, 1),
    "mxcsr": (mxcsr, 1),
    "x87": (x87_words, 1),
    "small": (lambda random: random.randrange(-8, 9) & MASK64, 1),
    "count": (lambda random: random.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 8)), 1),
    "spread": (lambda random: random.randrange(0, 64), 1),
    "aligned": (lambda random: random.choice((0, 16, 32, 48)), 1),
    "mostly_aligned": (lambda random: random.choice((0, 16, 32, 48, random.randrange(64))), 1),
    "bits": (lambda random: random.randrange(-256, 256) & MASK64, 1),
    "indexes": (lambda random: random.randrange(8) | random.randrange(8) << 64, 2),
    "fixed": (lambda random: 0, 1),
}
"""Pools by name: what makes an item, and its words."""


def pool(name: str, random: Random) -> bytes:
    """The items of a pool."""
    make, width = POOLS[name]
    return b"".join(make(random).to_bytes(8 * width, "little") for _ in range(1 << POOL_BITS))


def default_words() -> int:
    """What FCW, FSW and FTW are when nothing is said: eight registers in use."""
    return int.from_bytes(struct.pack("<HHBxH", case.CONTROL, 0, 0xFF, 0), "little")

"""The rounds of AES as AES-NI cuts them (FIPS 197; SDM vol. 1, 12.13): bytes in columns of four."""

from __future__ import annotations

from functools import cache

from tcg.types import V4I32, V16I8

POLYNOMIAL = 0x11B
ENCRYPTION = (2, 3, 1, 1)
DECRYPTION = (14, 11, 13, 9)
"""The first row of the matrix of MixColumns and of its inverse."""


def multiply(x: int, y: int) -> int:
    """The product in GF(2**8)."""
    product = 0
    while y:
        if y & 1:
            product ^= x
        x = x << 1 ^ (POLYNOMIAL if x & 0x80 else 0)
        y >>= 1
    return product


@cache
def substitution() -> tuple[bytes, bytes]:
    """The S-box, the inverse in GF(2**8) and then an affine map; and its inverse."""
    box = bytearray(256)
    for x in range(256):
        inverse = next((y for y in range(256) if multiply(x, y) == 1), 0)
        doubled = inverse | inverse << 8
        turned = doubled >> 8 - 0 ^ doubled >> 7 ^ doubled >> 6 ^ doubled >> 5 ^ doubled >> 4
        box[x] = turned & 0xFF ^ 0x63
    back = bytearray(256)
    for x, y in enumerate(box):
        back[y] = x
    return bytes(box), bytes(back)


def _shifted(state: list[int], step: int) -> list[int]:
    """Row r turned by r columns: to the left with step 1, back with -1."""
    return [state[4 * ((column + step * r) % 4) + r] for column in range(4) for r in range(4)]


def _mixed(state: list[int], matrix: tuple[int, ...]) -> list[int]:
    """Every column times the matrix."""
    result = []
    for column in range(0, 16, 4):
        for r in range(4):
            byte = 0
            for k in range(4):
                byte ^= multiply(state[column + k], matrix[(k - r) % 4])
            result.append(byte)
    return result


def _substituted(state: list[int], box: bytes) -> list[int]:
    return [box[x] for x in state]


def encrypt_last(_: int, state: int, key: int) -> int:
    """ShiftRows, SubBytes, the key."""
    box = substitution()[0]
    return V16I8.join(_substituted(_shifted(V16I8.split(state), 1), box)) ^ key


def encrypt_round(_: int, state: int, key: int) -> int:
    """ShiftRows, SubBytes, MixColumns, the key."""
    return V16I8.join(_mixed(V16I8.split(encrypt_last(0, state, 0)), ENCRYPTION)) ^ key


def decrypt_last(_: int, state: int, key: int) -> int:
    """The inverses of ShiftRows and SubBytes, the key."""
    box = substitution()[1]
    return V16I8.join(_substituted(_shifted(V16I8.split(state), -1), box)) ^ key


def decrypt_round(_: int, state: int, key: int) -> int:
    """The inverses of ShiftRows, SubBytes and MixColumns, the key."""
    return mix_for_decryption(0, decrypt_last(0, state, 0)) ^ key


def mix_for_decryption(_: int, state: int) -> int:
    """The inverse of MixColumns: AESIMC."""
    return V16I8.join(_mixed(V16I8.split(state), DECRYPTION))


def key_assist(imm: int, key: int) -> int:
    """AESKEYGENASSIST: words 1 and 3 substituted; the same turned by a byte, with the constant."""
    box = substitution()[0]
    words = V4I32.split(key)
    result = []
    for word in (words[1], words[3]):
        substituted = int.from_bytes((box[b] for b in word.to_bytes(4, "little")), "little")
        turned = substituted >> 8 | substituted << 24 & 0xFFFF_FFFF
        result += [substituted, turned ^ imm]
    return V4I32.join(result)

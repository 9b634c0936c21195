"""CPUID: the places of the feature bits by the host's kernel, what a model says by itself."""

from __future__ import annotations

import ctypes
import mmap
from itertools import pairwise

import pytest

from frontends.x86.cpuid import BITS, CACHES, IMPLEMENTED, INTEL, MODELS, Answer, CpuModel
from frontends.x86.table import x86_table
from tests.frontends.x86.host import is_usable

LEAVES = (*range(0x18), *range(0x8000_0000, 0x8000_0020))
CODE = bytes.fromhex(
    "53"  # push rbx
    "4889d6"  # mov rsi, rdx
    "89f8"  # mov eax, edi
    "8b0e"  # mov ecx, [rsi]
    "0fa2"  # cpuid
    "8906895e04894e0889560c"  # mov [rsi], eax; +4, ebx; +8, ecx; +12, edx
    "5bc3"  # pop rbx; ret
)
KERNEL_NAMES = {"pni": "sse3"}


class HostCpuid:
    """CODE as a function of leaf, nothing, and where the subleaf is and the answer goes."""

    def __init__(self) -> None:
        self.area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.area.write(CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.area))
        kind = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p)
        self.call = kind(address)

    def leaf(self, leaf: int, part: int) -> list[int]:
        """What the host's processor answers."""
        words = (ctypes.c_uint32 * 4)(part)
        self.call(leaf, 0, ctypes.addressof(words))
        return list(words)


def host_flags() -> set[str]:
    with open("/proc/cpuinfo") as lines:
        flags = next(line for line in lines if line.startswith("flags")).split()
    return {KERNEL_NAMES.get(flag, flag) for flag in flags}


@pytest.mark.skipif(not is_usable(), reason="the host is no x86-64 Linux")
def test_features_are_where_the_kernel_finds_them() -> None:
    flags, host = host_flags(), HostCpuid()
    found = 0
    for (leaf, part, register), names in BITS.items():
        word = host.leaf(leaf, part)[register]
        for bit, name in enumerate(names.split()):
            if name in flags:
                assert word >> bit & 1, f"{name} is not bit {bit} of leaf {leaf:#x}"
                found += 1
    assert found > 40


def test_all_features_of_rows_have_a_place() -> None:
    """What a row may want, some model can show: the decoder goes by the same names."""
    places = {name for names in BITS.values() for name in names.split()}
    assert x86_table().features() <= places
    assert places >= IMPLEMENTED


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_model_is_consistent(model: CpuModel) -> None:
    highest, ebx, ecx, edx = model.leaf(0)
    assert b"".join(word.to_bytes(4, "little") for word in (ebx, edx, ecx)) == model.vendor
    assert model.leaf(highest + 1) == model.leaf(highest)
    eax = model.leaf(1)[0]
    family = (eax >> 8 & 15) + (eax >> 20 & 255)
    assert (family, (eax >> 16 & 15) << 4 | eax >> 4 & 15, eax & 15) == model.number
    last = model.leaf(0x8000_0000)[0]
    if last >= 0x8000_0004:
        words = [word for leaf in (2, 3, 4) for word in model.leaf(0x8000_0000 + leaf)]
        brand = b"".join(word.to_bytes(4, "little") for word in words)
        assert brand.rstrip(b"\0").decode() == model.brand
    for leaf in LEAVES:
        assert all(0 <= word < 1 << 32 for word in model.leaf(leaf, 1))


def sizes(model: CpuModel) -> list[int]:
    """Cache sizes as a C library computes them from leaf 4 (SDM vol. 2, CPUID)."""
    found: list[int] = []
    for part in range(10):
        eax, ebx, ecx, _ = model.leaf(4, part)
        if not eax & 31:
            return found
        ways, partitions, line = (ebx >> 22) + 1, (ebx >> 12 & 0x3FF) + 1, (ebx & 0xFFF) + 1
        found.append(ways * partitions * line * (ecx + 1))
    raise AssertionError("leaf 4 has no end")


def test_caches() -> None:
    intel = [model for model in MODELS.values() if model.vendor == INTEL and model.highest >= 4]
    for model in intel:
        assert sizes(model) == [cache.size for cache in CACHES]
    _, _, second, third = MODELS["EPYC"].leaf(0x8000_0006)
    assert (second >> 16) << 10 == CACHES[2].size
    assert (third >> 18) * (512 << 10) == CACHES[3].size


def test_threads_are_counted_to_an_end() -> None:
    levels: list[Answer] = [MODELS["max"].leaf(0xB, part) for part in range(3)]
    assert [ecx >> 8 & 255 for _, _, ecx, _ in levels] == [1, 2, 0]


def test_older_models_show_less() -> None:
    order = ("486", "pentium", "pentium2", "pentium3", "pentium4", "coreduo", "core2duo", "Penryn")
    for older, newer in pairwise(order):
        assert MODELS[older].features < MODELS[newer].features
    assert "sse" not in MODELS["pentium2"].features
    assert next(iter(MODELS)) == "max"

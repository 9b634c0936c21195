"""CPUID: what the models that `-cpu` names say of themselves (SDM vol. 2, CPUID).

A model shows the features that its processor had, as far as they are implemented here; the decoder
leaves out the instructions of the others.  Feature names are those of Linux's /proc/cpuinfo, which
decode tables use too (`cpu:sse4_1`).

The C library of the guest chooses its routines by this, and asks for the caches: by leaf 4 of
Intel's models, by 8000001Dh or the older leaves of AMD's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property

Answer = tuple[int, int, int, int]
"""EAX, EBX, ECX, EDX."""

NOTHING: Answer = (0, 0, 0, 0)

# fmt: off
BITS: dict[tuple[int, int, int], str] = {
    (1, 0, 3): "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov "
               "pat pse36 - clflush - - - mmx fxsr sse sse2 - ht - - -",
    (1, 0, 2): "sse3 pclmulqdq - monitor - - - - - ssse3 - - fma cx16 - - "
               "- - - sse4_1 sse4_2 - movbe popcnt - aes xsave osxsave avx f16c rdrand hypervisor",
    (7, 0, 1): "fsgsbase - - bmi1 - avx2 - smep bmi2 erms - - - - - - "
               "- - rdseed adx smap - - clflushopt clwb - - - - sha_ni - -",
    (7, 0, 2): "- - - - - - - - - vaes vpclmulqdq - - - - - - - - - - - rdpid",
    (7, 0, 3): "- - - - fsrm",
    (0x8000_0001, 0, 2): "lahf_lm - - - - abm sse4a misalignsse 3dnowprefetch",
    (0x8000_0001, 0, 3): "- - - - - - - - - - - syscall - - - - "
                         "- - - - nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
}
"""The features by leaf, subleaf and register (0 is EAX), from bit 0 on."""

IMPLEMENTED = frozenset("""
    fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse
    sse2 ht sse3 pclmulqdq ssse3 cx16 sse4_1 sse4_2 movbe popcnt aes rdrand hypervisor
    fsgsbase bmi1 bmi2 erms rdseed adx clflushopt clwb rdpid fsrm
    lahf_lm abm 3dnowprefetch syscall nx mmxext rdtscp lm
    xsave osxsave avx f16c fma avx2
""".split())
"""What a model may show: that of which all instructions are there."""

OF_SYSTEMS = frozenset(("monitor", "smep", "smap", "pdpe1gb"))
"""What only whole machines have."""
NOT_OF_SYSTEMS = frozenset(("vme",))
"""What programs may see, but a whole machine has not."""

BY_HOST = frozenset("""
    pclmulqdq ssse3 sse4_1 sse4_2 aes bmi2 avx avx2 fma f16c sha_ni vaes vpclmulqdq
""".split())
"""What is done by the host's own instructions of that name, and needs a host that has it."""

I486 = "fpu vme pse"
PENTIUM = f"{I486} de tsc msr mce cx8"
PENTIUM_MMX = f"{PENTIUM} mmx"
PENTIUM_PRO = f"{PENTIUM} pae apic sep mtrr pge mca cmov pat pse36"
PENTIUM_2 = f"{PENTIUM_PRO} mmx fxsr"
PENTIUM_3 = f"{PENTIUM_2} sse"
PENTIUM_4 = f"{PENTIUM_3} sse2 clflush"
PRESCOTT = f"{PENTIUM_4} sse3 monitor"
CORE_2 = f"{PRESCOTT} ssse3 cx16 syscall nx lm lahf_lm"
PENRYN = f"{CORE_2} sse4_1"
NEHALEM = f"{PENRYN} sse4_2 popcnt rdtscp"
WESTMERE = f"{NEHALEM} aes pclmulqdq"
SANDY_BRIDGE = f"{WESTMERE} avx xsave osxsave"
IVY_BRIDGE = f"{SANDY_BRIDGE} f16c rdrand fsgsbase erms smep"
HASWELL = f"{IVY_BRIDGE} avx2 bmi1 bmi2 fma movbe abm"
BROADWELL = f"{HASWELL} adx rdseed 3dnowprefetch smap pdpe1gb"
SKYLAKE = f"{BROADWELL} clflushopt"
ICE_LAKE = f"{SKYLAKE} clwb sha_ni rdpid fsrm vaes vpclmulqdq"
ATHLON = f"{PENTIUM_PRO} mmx mmxext fxsr 3dnow 3dnowext"
OPTERON = f"{ATHLON} sse sse2 clflush syscall nx lm"
PHENOM = f"{OPTERON} sse3 monitor cx16 popcnt lahf_lm abm sse4a misalignsse 3dnowprefetch rdtscp"
ZEN = f"{HASWELL} adx rdseed smap clflushopt sha_ni misalignsse 3dnowprefetch mmxext fxsr_opt"
QEMU_32 = f"{PENTIUM_4} sse3 hypervisor"
QEMU_64 = f"{QEMU_32} cx16 syscall nx lm lahf_lm"
EVERYTHING = " ".join(sorted({name for names in BITS.values() for name in names.split()} - {"-"}))
# fmt: on

INTEL, AMD = b"GenuineIntel", b"AuthenticAMD"
XSAVE_LEAF, TSC_LEAF = 0xD, 0x15
LINE = 64
LEGACY_BYTES, HEADER_BYTES, AVX_BYTES = 512, 64, 256
"""The XSAVE area: x87 and SSE, its header, the upper halves of the YMM registers."""
CLOCK_HZ = 1_000_000_000
"""RDTSC counts nanoseconds."""


@dataclass(frozen=True, slots=True)
class CacheLevel:
    """One cache: its kind is 1 for data, 2 for instructions, 3 for both."""

    level: int
    kind: int
    ways: int
    size: int

    def leaf(self) -> Answer:
        """What leaf 4 says of it: lines of 64 bytes, nobody shares it."""
        sets = self.size // (LINE * self.ways)
        eax = self.kind | self.level << 5 | 1 << 8
        return eax, (LINE - 1) | (self.ways - 1) << 22, sets - 1, 0


CACHES = (
    CacheLevel(1, 1, 8, 32 << 10),
    CacheLevel(1, 2, 8, 32 << 10),
    CacheLevel(2, 3, 16, 1 << 20),
    CacheLevel(3, 3, 16, 16 << 20),
)
CACHES_IN_LEAF_4 = (0x00FE_FF01, 0, 0, 0)
"""Leaf 2: see leaf 4 for the caches."""
CACHES_OF_PENTIUM_3 = (0x0302_0101, 0, 0, 0x0C04_0843)
"""Leaf 2: 16 KiB of L1 for data and for code, 512 KiB of L2."""


@dataclass(frozen=True)
class CpuModel:
    """A processor.  `number`: family, model, stepping; `highest`: its last basic leaf."""

    name: str
    vendor: bytes
    number: tuple[int, int, int]
    highest: int
    shown: str
    brand: str
    is_system: bool = False
    """Of a whole machine, rather than what a program sees."""

    @property
    def description(self) -> str:
        """A line for the list of models."""
        return self.brand or "a processor without CPUID"

    @cached_property
    def features(self) -> frozenset[str]:
        """The names of what it shows."""
        known = IMPLEMENTED
        if self.is_system:
            known = IMPLEMENTED - NOT_OF_SYSTEMS | OF_SYSTEMS
        return frozenset(self.shown.split()) & known - missing_on_host()

    @cached_property
    def of_system(self) -> CpuModel:
        """The same processor in a whole machine."""
        return replace(self, is_system=True)

    @property
    def system_features(self) -> frozenset[str]:
        """The names of what it shows in a whole machine."""
        return self.of_system.features

    def leaf(self, number: int, part: int = 0) -> Answer:
        """The answer for EAX and ECX; beyond the last leaf, that of the last basic one."""
        last = self._highest_extended if number >= 0x8000_0000 else self.highest
        if number > last:
            number = self.highest
        answers: dict[int, Callable[[], Answer]] = {
            0: self._identity,
            1: self._version,
            2: self._descriptors,
            4: lambda: self._cache(part) if self.vendor == INTEL else NOTHING,
            7: lambda: self._features(7) if part == 0 else NOTHING,
            0xB: lambda: _topology(part),
            XSAVE_LEAF: lambda: self._states(part),
            TSC_LEAF: lambda: (1, 1, CLOCK_HZ, 0),
            0x16: lambda: (1000, 1000, 100, 0),
            0x8000_0000: lambda: (self._highest_extended, *self._name_words()),
            0x8000_0001: self._extended_features,
            0x8000_0005: lambda: _amd_first_level() if self.vendor == AMD else NOTHING,
            0x8000_0006: self._second_level,
            0x8000_0007: lambda: (0, 0, 0, 1 << 8),
            0x8000_0008: lambda: (48 << 8 | 40 if "lm" in self.features else 32 << 8 | 36, 0, 0, 0),
            0x8000_001D: lambda: self._cache(part) if self.vendor == AMD else NOTHING,
        }
        if 0x8000_0002 <= number <= 0x8000_0004:
            return self._brand_words(number - 0x8000_0002)
        answer = answers.get(number)
        return answer() if answer else NOTHING

    # -- leaves ----------------------------------------------------------------------------

    @property
    def _highest_extended(self) -> int:
        if self.highest < 2 and not self.features & {"lm", "3dnow"}:
            return 0
        return 0x8000_001D if self.vendor == AMD and "lm" in self.features else 0x8000_0008

    def _name_words(self) -> tuple[int, int, int]:
        """EBX, ECX, EDX of leaf 0, whose order is EBX, EDX, ECX."""
        first, second, third = (int.from_bytes(self.vendor[i : i + 4], "little") for i in (0, 4, 8))
        return first, third, second

    def _identity(self) -> Answer:
        return (self.highest, *self._name_words())

    @property
    def signature(self) -> int:
        """EAX of leaf 1: family, model and stepping, and what they have above 15."""
        family, model, stepping = self.number
        low_family, high_family = min(family, 15), max(family - 15, 0)
        return stepping | (model & 15) << 4 | low_family << 8 | model >> 4 << 16 | high_family << 20

    def _version(self) -> Answer:
        flush = LINE // 8 << 8 if "clflush" in self.features else 0
        _, _, ecx, edx = self._features(1)
        return self.signature, flush | 1 << 16, ecx, edx

    def _features(self, leaf: int) -> Answer:
        eax, ebx, ecx, edx = (self._word(leaf, register) for register in range(4))
        return eax, ebx, ecx, edx

    def _word(self, leaf: int, register: int) -> int:
        names = BITS.get((leaf, 0, register), "").split()
        return sum(1 << bit for bit, name in enumerate(names) if name in self.features)

    def _extended_features(self) -> Answer:
        _, _, ecx, edx = self._features(0x8000_0001)
        if self.vendor == AMD:
            edx |= self._word(1, 3) & AMD_REPEATS
        return self.signature if self.vendor == AMD else 0, 0, ecx, edx

    def _brand_words(self, part: int) -> Answer:
        text = self.brand.encode().ljust(48, b"\0")[16 * part : 16 * part + 16]
        a, b, c, d = (int.from_bytes(text[i : i + 4], "little") for i in (0, 4, 8, 12))
        return a, b, c, d

    # -- caches ----------------------------------------------------------------------------

    def _descriptors(self) -> Answer:
        if self.vendor == AMD:
            return NOTHING
        return CACHES_IN_LEAF_4 if self.highest >= 4 else CACHES_OF_PENTIUM_3

    def _cache(self, part: int) -> Answer:
        return CACHES[part].leaf() if part < len(CACHES) else NOTHING

    def _second_level(self) -> Answer:
        second, third = CACHES[2], CACHES[3]
        ecx = LINE | 8 << 12 | second.size >> 10 << 16
        edx = LINE | 8 << 12 | third.size // (512 << 10) << 18 if self.vendor == AMD else 0
        return 0, 0, ecx, edx

    # -- states ----------------------------------------------------------------------------

    def _states(self, part: int) -> Answer:
        """The XSAVE area, never compacted: XCR0's bits, sizes, where the AVX state is."""
        if "xsave" not in self.features:
            return NOTHING
        has_avx = "avx" in self.features
        avx_at = LEGACY_BYTES + HEADER_BYTES
        if part == 0:
            size = avx_at + (AVX_BYTES if has_avx else 0)
            return 7 if has_avx else 3, size, size, 0
        return (AVX_BYTES, avx_at, 0, 0) if part == 2 and has_avx else NOTHING


AMD_REPEATS = 0x0183_F3FF
"""The bits of leaf 1 EDX that AMD's extended leaf has too."""


def _topology(part: int) -> Answer:
    """One thread of one core."""
    kinds = (1, 2)
    return (0, 1, part | kinds[part] << 8, 0) if part < len(kinds) else (0, 0, part, 0)


def _amd_first_level() -> Answer:
    """Leaf 80000005h: L1 caches of 32 KiB, 8 ways, lines of 64 bytes."""
    cache_word = 32 << 24 | 8 << 16 | 1 << 8 | LINE
    return 0, 0, cache_word, cache_word


@cache
def missing_on_host() -> frozenset[str]:
    """What cannot be shown because the host lacks it."""
    with open("/proc/cpuinfo") as lines:
        flags = next((line for line in lines if line.startswith("flags")), "")
    return BY_HOST - frozenset("sse3" if flag == "pni" else flag for flag in flags.split())


# fmt: off
_ROWS = (
    ("max",            INTEL, (6, 94, 3),   0x16, EVERYTHING,   "qemupy virtual CPU"),
    ("qemu64",         AMD,   (15, 107, 1), 0xD,  QEMU_64,      "QEMU Virtual CPU version 2.5+"),
    ("qemu32",         INTEL, (6, 6, 3),    4,    QEMU_32,      "QEMU Virtual CPU version 2.5+"),
    ("486",            INTEL, (4, 8, 0),    1,    I486,         ""),
    ("pentium",        INTEL, (5, 4, 3),    1,    PENTIUM_MMX,  "Pentium"),
    ("pentium2",       INTEL, (6, 5, 2),    2,    PENTIUM_2,    "Pentium II"),
    ("pentium3",       INTEL, (6, 7, 3),    2,    PENTIUM_3,    "Pentium III"),
    ("pentium4",       INTEL, (15, 2, 9),   2,    PENTIUM_4,    "Intel(R) Pentium(R) 4 CPU"),
    ("coreduo",        INTEL, (6, 14, 8),   0xA,  PRESCOTT,     "Genuine Intel(R) CPU T2600"),
    ("athlon",         AMD,   (6, 2, 3),    1,    ATHLON,       "AMD Athlon(tm) XP"),
    ("core2duo",       INTEL, (6, 15, 11),  0xA,  CORE_2,       "Intel(R) Core(TM)2 Duo CPU T7700"),
    ("Penryn",         INTEL, (6, 23, 3),   0xA,  PENRYN,       "Intel Core 2 Duo P9xxx (Penryn)"),
    ("Nehalem",        INTEL, (6, 26, 3),   0xB,  NEHALEM,      "Intel Core i7 9xx (Nehalem)"),
    ("Westmere",       INTEL, (6, 44, 1),   0xB,  WESTMERE,     "Westmere E56xx (Nehalem-C)"),
    ("SandyBridge",    INTEL, (6, 42, 1),   0xD,  SANDY_BRIDGE, "Intel Xeon E312xx (Sandy Bridge)"),
    ("IvyBridge",      INTEL, (6, 58, 9),   0xD,  IVY_BRIDGE,   "Intel Xeon E3-12xx (Ivy Bridge)"),
    ("Haswell",        INTEL, (6, 60, 4),   0xD,  HASWELL,      "Intel Core Processor (Haswell)"),
    ("Broadwell",      INTEL, (6, 61, 2),   0xD,  BROADWELL,    "Intel Core Processor (Broadwell)"),
    ("Skylake-Client", INTEL, (6, 94, 3),   0x16, SKYLAKE,      "Intel Core Processor (Skylake)"),
    ("Icelake-Server", INTEL, (6, 134, 0),  0x16, ICE_LAKE,     "Intel Xeon Processor (Icelake)"),
    ("Opteron_G1",     AMD,   (15, 6, 1),   1,    OPTERON,      "AMD Opteron 240 (Gen 1)"),
    ("phenom",         AMD,   (16, 2, 3),   5,    PHENOM,       "AMD Phenom(tm) 9550"),
    ("EPYC",           AMD,   (23, 1, 2),   0xD,  ZEN,          "AMD EPYC Processor"),
)
# fmt: on
"""Name, vendor, number, last basic leaf, features, what it calls itself."""

MODELS = {row[0]: CpuModel(*row) for row in _ROWS}
"""What `-cpu` may name; the first one is the default."""

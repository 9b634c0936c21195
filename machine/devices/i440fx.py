"""The 82441FX (i440FX) host bridge: what the processor sees in the first megabyte.

Source: Intel, "440FX PCIset: 82441FX (PMC)", order 290549, sections 3.2.18 (PAM) and 3.2.22
(SMRAM). Not modelled: DRAM timing and row boundaries, ECC, the aperture; the registers are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from machine.devices.pci import PciFunction

PAM, SMRAM = 0x59, 0x72
READABLE, WRITABLE = 1, 2
SMRAM_OPEN, SMRAM_CLOSED, SMRAM_LOCKED, SMRAM_ENABLED = 0x40, 0x20, 0x10, 0x08


@dataclass(frozen=True, slots=True)
class Shadow:
    """A part of the first megabyte: reads and writes go to RAM, or else to the ROM behind PCI."""

    base: int
    size: int
    is_readable: bool
    is_writable: bool


# fmt: off
AREAS = (  # of PAM0 the upper half; of PAM1 to PAM6 the lower, then the upper half
    (0xF0000, 0x10000),
    (0xC0000, 0x4000), (0xC4000, 0x4000), (0xC8000, 0x4000), (0xCC000, 0x4000),
    (0xD0000, 0x4000), (0xD4000, 0x4000), (0xD8000, 0x4000), (0xDC000, 0x4000),
    (0xE0000, 0x4000), (0xE4000, 0x4000), (0xE8000, 0x4000), (0xEC000, 0x4000),
)
# fmt: on


class HostBridge(PciFunction):
    """Function 00:00.0. `shadow` is told of each area that changes, `smram` when it opens.

    SMRAM at A0000h is RAM instead of the display for everybody if it is open, and in system
    management mode if it is enabled at all (`smram_enabled`).
    """

    def __init__(
        self, shadow: Callable[[Shadow], None], smram: Callable[[bool], None] = lambda _: None
    ) -> None:
        super().__init__(vendor=0x8086, device=0x1237, class_code=0x060000, revision=2)
        self._shadow = shadow
        self._smram = smram
        self._shown = [0] * len(AREAS)
        self._is_open = False
        self.config[SMRAM] = 0x02
        self.allow(0x50, b"\xff" * 9)  # PMC configuration, DRAM control and timing
        self.allow(PAM, b"\xff" * 7)
        self.allow(0x60, b"\xff" * 9)  # DRAM row boundaries, fixed hole
        self.allow(SMRAM, bytes((0x78,)))

    def reset(self) -> None:
        super().reset()
        self.config[PAM : PAM + 7] = bytes(7)
        self.config[SMRAM] = 0x02
        self.allow(SMRAM, bytes((0x78,)))
        self.config_changed(0, 256)

    @property
    def smram_enabled(self) -> bool:
        return bool(self.config[SMRAM] & SMRAM_ENABLED)

    def config_changed(self, offset: int, size: int) -> None:
        """Pass on what the PAM and SMRAM registers now say."""
        self._update_shadows()
        if self.config[SMRAM] & SMRAM_LOCKED:  # "D_LCK ... D_OPEN is reset to 0"
            self.config[SMRAM] &= ~SMRAM_OPEN
            self.allow(SMRAM, bytes((SMRAM_CLOSED,)))
        is_open = self.config[SMRAM] & (SMRAM_OPEN | SMRAM_ENABLED) == SMRAM_OPEN | SMRAM_ENABLED
        if is_open != self._is_open:
            self._is_open = is_open
            self._smram(is_open)

    def _update_shadows(self) -> None:
        for index, (base, size) in enumerate(AREAS):
            bits = self.config[PAM + (index + 1) // 2] >> (0 if index % 2 else 4) & 3
            if bits != self._shown[index]:
                self._shown[index] = bits
                self._shadow(Shadow(base, size, bool(bits & READABLE), bool(bits & WRITABLE)))

"""Registers without a processor."""

from __future__ import annotations

from machine.firmware.call import Call

SEGMENTS = ("es", "ds", "ss", "cs")


class FakeRegisters(dict[str, int]):
    """Registers by name; a segment register takes its base along, as in real mode."""

    def __init__(self, **values: int) -> None:
        names = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eflags", "cr0", *SEGMENTS)
        super().__init__(dict.fromkeys((*names, *(f"{name}_base" for name in SEGMENTS)), 0))
        self["eflags"] = 0x202
        for name, value in values.items():
            self[name] = value

    def __setitem__(self, name: str, value: int) -> None:
        super().__setitem__(name, value)
        if name in SEGMENTS:
            super().__setitem__(f"{name}_base", 16 * value)


def call(**values: int) -> Call:
    """A call with some 16-bit registers: call(ax=0x0201, es=0x900)."""
    made = Call(FakeRegisters())
    for name, value in values.items():
        setattr(made, name, value)
    return made

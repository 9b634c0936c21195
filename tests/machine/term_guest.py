"""A screen in a terminal, of a machine without a processor: `python -m tests.machine.term_guest`.

Keys that are pressed are written to the screen's last line; `g` changes to a graphics mode, `t`
back.
"""

from __future__ import annotations

import sys
import threading

from machine.display.term import TermDisplay
from machine.errors import MachineError
from tests.machine.vga_cards import OurCard, map_memory, set_mode


class Guest:
    def __init__(self) -> None:
        self.card = OurCard()
        map_memory(self.card)
        self.pressed: list[str] = []
        self.text_screen()

    def text_screen(self) -> None:
        set_mode(self.card, 3)
        for row in range(25):
            line = f"line {row}: " + "".join(chr(33 + n) for n in range(60))
            attribute = row % 7 + 1 | row % 8 << 4
            cells = b"".join(bytes((ord(c), attribute)) for c in line)
            self.card.write(0xB8000 + 160 * row, cells)
        self.card.write(0xB8000 + 160 * 3, b"\xc9\x1e\xcd\x1e\xbb\x1e\xb0\x1e\x03\x1e")
        for value in (0x070E, 0x850F):
            self.card.out(0x3D4, value, 2)

    def picture(self) -> None:
        set_mode(self.card, 0x13)
        self.card.write(0xA0000, bytes(n // 320 // 8 for n in range(320 * 200)))

    def press(self, name: str, down: bool) -> None:
        if not down:
            return
        self.pressed.append(name)
        if name == "g":
            self.picture()
        elif name == "t":
            self.text_screen()
        else:
            text = " ".join(self.pressed[-12:]).ljust(80)[:80].encode()
            self.card.write(0xB8000 + 160 * 24, b"".join(bytes((c, 7)) for c in text))


def main() -> int:
    guest = Guest()
    display = TermDisplay(
        screen=guest.card.vga.render,
        press=guest.press,
        has_room=lambda count: True,
        lock=threading.RLock(),
        quit=lambda: None,
    )
    display.monitor.receive = lambda data: display.monitor.write(data.upper())
    display.monitor.focused = lambda: display.monitor.write(b"(qemu) ")
    try:
        display.run()
    except MachineError as error:
        print(error.message, file=sys.stderr)
        return 1
    print("the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())

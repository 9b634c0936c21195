"""Boots the demonstration disk in a PC and shows its screen, with its colours.

python -m demo.pc
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from demo.disk_image import disk_image
from machine.devices.vga_picture import TextCells
from machine.options import read_options
from machine.pc import build_pc
from machine.running import Pc

IMAGE = Path(__file__).resolve().parents[1] / "build" / "demo.img"
READY = "Esc switches it off"
PATIENCE = 120.0
POLL = 0.1

COLOURS = (
    "black", "blue", "green", "cyan", "red", "magenta", "yellow", "white",
    "bright_black", "bright_blue", "bright_green", "bright_cyan", "bright_red", "bright_magenta",
    "bright_yellow", "bright_white",
)  # fmt: skip
"""The colours of a text screen, as terminals call them."""


def coloured(cells: TextCells) -> Text:
    """A text screen as rich has it."""
    lines = []
    for row, line in enumerate(cells.lines()):
        shown = Text(line)
        for column in range(len(line)):
            attribute = cells.cells[2 * (row * cells.columns + column) + 1]
            shown.stylize(COLOURS[attribute & 15], column, column + 1)
        lines.append(shown)
    return Text("\n").join(lines)


def watch(pc: Pc, seen: list[TextCells]) -> None:
    """Wait until the picture is there, take it, and press the key that switches the machine off."""
    vga = pc.parts.vga
    assert vga is not None
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(POLL)
        with pc.lock:
            cells = vga.render().text
        if cells is not None and any(READY in line for line in cells.lines()):
            seen.append(cells)
            with pc.lock:
                pc.board.keyboard.press("esc", True)
                pc.board.keyboard.press("esc", False)
            return
    pc.ask_to_quit(1)


def main() -> None:
    """The demonstration."""
    console = Console(highlight=False)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    IMAGE.write_bytes(disk_image())
    console.print(f"\n[bold]qemupy-system-x86 {IMAGE.relative_to(IMAGE.parents[1])}[/]\n")
    settings = read_options(["-display", "none", "-m", "64", "-snapshot", str(IMAGE)])
    settings.cpu = "qemu32"
    started = time.perf_counter()
    pc = build_pc(settings)
    seen: list[TextCells] = []
    threading.Thread(target=watch, args=(pc, seen), daemon=True).start()
    status = pc.run()
    if not seen or status:
        sys.exit("demo: the disk did not boot")
    console.print(coloured(seen[0]))
    seconds = time.perf_counter() - started
    console.print(f"\nFrom switching on to switching off by the guest: {seconds:.1f} s")


if __name__ == "__main__":
    main()

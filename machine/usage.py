"""What `-h` and the lists of values print, made from the tables. rich is imported only for this."""

from __future__ import annotations

import sys

from machine import options
from machine.options import OPTIONS, Option

EXAMPLES = (
    ("{command} -fda freedos.img", "a floppy disk, its screen in this terminal"),
    ("{command} -m 512 -hda disk.qcow2 -cdrom install.iso -boot d", "install a system"),
    ("{command} -snapshot disk.img", "try it: the image stays as it is"),
    (
        "{command} -nographic -kernel vmlinuz -initrd initrd.gz -append console=ttyS0",
        "Linux on the serial line; Ctrl-A x ends it",
    ),
    ("{command} -S -monitor stdio disk.img", "look around before it starts"),
)


def show(command: str, what: str) -> None:
    """Print help, or the values of an option."""
    if what == "help":
        _print_help(command)
    elif what == "cpu":
        from frontends.x86.cpuid import MODELS

        _print_rows({name: model.name for name, model in MODELS.items()})
    elif what == "log":
        from tcg.log import items_help

        print(items_help(), end="")
    elif what == "library":
        from machine.firmware_files import PLACES

        print("\n".join(map(str, PLACES)))
    else:
        tables = {
            "accel": options.ACCELERATORS,
            "machine": options.MACHINES,
            "display": options.DISPLAYS,
            "vga": options.VGAS,
            "device": options.DEVICES,
        }
        _print_rows(tables[what])


def _print_rows(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, meaning in rows.items():
        print(f"{name:<{width}}  {meaning}")


def _print_help(command: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    console.print(Text.assemble("usage: ", (command, "bold"), " [options] [disk image]"))
    console.print("Run a PC: operating systems from disk images, CD-ROMs, floppies or kernels.\n")
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("option", no_wrap=True)
    table.add_column("meaning")
    for option in OPTIONS:
        table.add_row(Text(spelling(option)), Text(option.help))
    console.print(table)
    console.print("\nExamples:\n")
    for line, meaning in EXAMPLES:
        console.print(Text.assemble(f"  {line.format(command=command)}"), soft_wrap=True)
        console.print(Text.assemble(f"      {meaning}", style="dim"), soft_wrap=True)


def spelling(option: Option) -> str:
    """How an option is written: `-machine, -M pc`."""
    names = ", ".join(f"-{name}" for name in option.names)
    return f"{names} {option.metavar}".strip()

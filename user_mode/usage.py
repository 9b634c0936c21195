"""What `-h` prints, made from the table of options.  rich is imported only for this."""

from __future__ import annotations

import sys

from user_mode.options import OPTIONS, VARIABLES, Option

EXAMPLES = (
    ("{command} ./hello", "run a static program"),
    ("{command} -L {root} ./hello one two", "a dynamic one, with its libraries from Debian"),
    ("{command} -strace ./hello", "see its system calls"),
    ("{command} -d in_asm,op_opt,llvm ./hello", "see what its code becomes"),
    ("{command} -E LANG=C -U DISPLAY ./hello", "change its environment"),
)


def print_usage(command: str, machine: str, root: str) -> None:
    """Print the help of `command`, which runs programs for `machine`; `root` is an -L that fits."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    console.print(Text.assemble("usage: ", (command, "bold"), " [options] program [arguments...]"))
    console.print(f"Run a Linux program made for {machine}.\n")
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("option", no_wrap=True)
    table.add_column("variable", no_wrap=True)
    table.add_column("meaning")
    for option in OPTIONS:
        variable = f"QEMUPY_{option.variable}" if option.variable else ""
        table.add_row(Text(spelling(option)), Text(variable), Text(option.help))
    for variable, meaning in VARIABLES:
        table.add_row("", Text(variable), Text(meaning))
    console.print(table)
    console.print("\nAn option's variable is also read with QEMU's prefix, QEMU_.  Examples:\n")
    for line, meaning in EXAMPLES:
        shown = line.format(command=command, root=root)
        console.print(Text.assemble(f"  {shown:<52}", (f" {meaning}", "dim")), soft_wrap=True)


def spelling(option: Option) -> str:
    """How an option is written: `-h, -help`, `-L path`."""
    names = ", ".join(f"-{name}" for name in option.names)
    return f"{names} {option.metavar}".strip()

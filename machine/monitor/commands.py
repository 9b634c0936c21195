"""The monitor's commands: a table, and a short function for each.

A row says what the arguments are, in order: `/` a format, `e` an expression, `w` a word, `r` the
rest of the line; `?` behind one makes it optional. A word may stand in double quotes.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from machine.errors import MachineError, shown
from machine.monitor.dump import (
    Format,
    Reader,
    disassemble,
    dump,
    read_format,
    show_value,
)
from machine.monitor.expressions import evaluate, split_expression
from machine.monitor.info import SUBJECTS
from machine.monitor.machine import Machine, MonitorError
from machine.monitor.registers import value_of

PORT_LETTERS = {1: "b", 2: "w", 4: "l"}
DEFAULT_HOLD_MS = 100
MOST_SAVED = 1 << 30


@dataclass(slots=True)
class Session:
    """What one monitor remembers between its commands."""

    machine: Machine
    form: Format = field(default_factory=Format)


Function = Callable[..., str]


class Command(NamedTuple):
    """A command: its names, the kinds of its arguments, how they are written, what it does."""

    names: tuple[str, ...]
    kinds: str
    usage: str
    meaning: str
    run: Function


def execute(session: Session, line: str) -> str:
    """Carry out a line; answers what is to be shown, also if it was wrong."""
    line = line.strip()
    if not line:
        return ""
    name, rest = _first_word(line)
    command = BY_NAME.get(name)
    if command is None:
        return f"unknown command: '{shown(name)}'\n"
    try:
        arguments = _read_arguments(session, command, rest)
        return str(command.run(session, *arguments))
    except (MonitorError, MachineError) as error:
        text = str(error)
        hint = f'Try "help {name}" for more information\n' if isinstance(error, Misused) else ""
        return f"{text}\n{hint}"


class Misused(MonitorError):
    """The arguments are not what the command takes."""


def _first_word(line: str) -> tuple[str, str]:
    """The command's name; a format may follow it without a blank, as in `p/x`."""
    at = next((at for at, char in enumerate(line) if char in " \t/"), len(line))
    return line[:at], line[at:].strip()


def _read_arguments(session: Session, command: Command, text: str) -> list[Any]:
    arguments: list[Any] = []
    kinds = command.kinds
    for number, kind in enumerate(kinds):
        if kind == "?":
            continue
        is_optional = kinds[number + 1 : number + 2] == "?"
        if kind == "/":
            form = ""
            if text.startswith("/"):
                form, _, text = text[1:].partition(" ")
                text = text.strip()
            arguments.append(form)
        elif not text and is_optional:
            arguments.append(None)
        elif not text and kind != "e":
            raise Misused(f"{command.names[0]}: {command.usage} expected")
        elif kind == "e":
            part, text = split_expression(text)
            if not part and text:
                raise Misused(f"cannot read the expression {shown(text)}")
            arguments.append(evaluate(part, lambda name: value_of(session.machine, name)))
        elif kind == "r":
            arguments.append(text)
            text = ""
        else:
            part, text = _take_word(text)
            arguments.append(part)
    if text:
        raise Misused(f"{command.names[0]}: extraneous characters at the end of line")
    return arguments


def _take_word(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        end = text.find('"', 1)
        if end < 0:
            raise MonitorError("unterminated string")
        return text[1:end], text[end + 1 :].strip()
    word, _, rest = text.partition(" ")
    return word, rest.strip()


def _number(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise MonitorError(f"{shown(word)} is not a number") from None


# -- what runs ---------------------------------------------------------------------------------


def _help(session: Session, name: str | None) -> str:
    if name == "info":
        return "".join(f"info {key} -- {text}\n" for key, (_, text) in sorted(SUBJECTS.items()))
    rows = [command for command in COMMANDS if name is None or name in command.names]
    if not rows:
        return f"unknown command: '{shown(str(name))}'\n"
    return "".join(
        f"{' '.join(('|'.join(row.names), row.usage)).strip()} -- {row.meaning}\n" for row in rows
    )


def _info(session: Session, subject: str | None) -> str:
    if subject is None:
        return _help(session, "info")
    if subject not in SUBJECTS:
        return f"unknown command: 'info {shown(subject)}'\n"
    return SUBJECTS[subject][0](session.machine)


def _stop(session: Session) -> str:
    session.machine.pause()
    return ""


def _continue(session: Session) -> str:
    session.machine.resume()
    return ""


def _reset(session: Session) -> str:
    session.machine.reset()
    return ""


def _power_down(session: Session) -> str:
    session.machine.power_button()
    return ""


def _quit(session: Session) -> str:
    session.machine.quit()
    return ""


def _nmi(session: Session) -> str:
    session.machine.board.nmi.pulse()
    return ""


# -- memory and numbers --------------------------------------------------------------------------


def _examine(session: Session, form_text: str, address: int) -> str:
    machine = session.machine
    digits = 8 if machine.width == 32 else 16
    address &= (1 << machine.width) - 1
    return _show_memory(session, form_text, address, machine.read_linear, digits)


def _examine_physical(session: Session, form_text: str, address: int) -> str:
    return _show_memory(session, form_text, address, session.machine.ram.read, 16)


def _show_memory(session: Session, text: str, address: int, read: Reader, digits: int) -> str:
    session.form = form = read_format(text, session.form)
    if form.letter == "i":
        return disassemble(session.machine, read, address, form.count)
    return dump(read, address, form, digits)


def _print(session: Session, form_text: str, value: int) -> str:
    form = read_format(form_text, Format(letter="d"))
    return show_value(value, form.letter) + "\n"


def _sum(session: Session, start: int, size: int) -> str:
    """The 16-bit checksum that BSD's `sum` computes."""
    if size > MOST_SAVED:
        raise MonitorError("that is too much")
    total = 0
    for byte in session.machine.ram.read(start, size):
        total = (total >> 1 | total << 15) & 0xFFFF
        total = total + byte & 0xFFFF
    return f"{total:05d}\n"


def _port_in(session: Session, form_text: str, port: int) -> str:
    form = read_format(form_text, Format(size=1))
    size = min(form.size, 4)
    value = session.machine.board.ports.read(port & 0xFFFF, size)
    return f"port{PORT_LETTERS[size]}[0x{port & 0xFFFF:04x}] = 0x{value:0{2 * size}x}\n"


def _port_out(session: Session, form_text: str, port: int, value: int) -> str:
    form = read_format(form_text, Format(size=1))
    size = min(form.size, 4)
    session.machine.board.ports.write(port & 0xFFFF, value & (1 << 8 * size) - 1, size)
    return ""


def _save(session: Session, address: int, size: int, path: str) -> str:
    machine = session.machine
    return _write_file(machine.read_linear, address, size, path)


def _save_physical(session: Session, address: int, size: int, path: str) -> str:
    return _write_file(session.machine.ram.read, address, size, path)


def _write_file(read: Reader, address: int, size: int, path: str) -> str:
    if size > MOST_SAVED:
        raise MonitorError("that is too much: at most 1 GiB is saved at once")
    try:
        with open(path, "wb") as file:
            file.writelines(read(address + at, min(4096, size - at)) for at in range(0, size, 4096))
    except OSError as error:
        raise MonitorError(f"cannot write {shown(path)}: {error.strerror}") from None
    return ""


# -- keys, mouse, screen ---------------------------------------------------------------------------


def _send_key(session: Session, keys: str, hold: int | None) -> str:
    """Press a combination, and let it go a little later."""
    from machine.keys import read_keys

    board = session.machine.board
    names = read_keys(keys)
    for name in names:
        board.keyboard.press(name, True)

    def let_go(_: int) -> None:
        for name in reversed(names):
            board.keyboard.press(name, False)

    delay = DEFAULT_HOLD_MS if hold is None else min(hold, 10_000)
    board.clock.timer(let_go).after(delay * 1_000_000)
    return ""


def _move_mouse(session: Session, dx: str, dy: str, dz: str | None) -> str:
    """Right, down and the wheel."""
    session.machine.board.mouse.move(_number(dx), -_number(dy), _number(dz or "0"))
    return ""


def _press_buttons(session: Session, buttons: int) -> str:
    """Bits: left, middle, right, as QEMU has them; the mouse has right before middle."""
    left, middle, right = buttons & 1, buttons >> 1 & 1, buttons >> 2 & 1
    session.machine.board.mouse.press(left | right << 1 | middle << 2)
    return ""


def _screendump(session: Session, path: str, option: str | None, kind: str | None) -> str:
    if option not in {None, "-f"}:
        raise Misused("screendump: filename [-f format] expected")
    session.machine.screendump(path, kind or "")
    return ""


# -- media, logs -----------------------------------------------------------------------------------


def _eject(session: Session, words: str) -> str:
    parts = [word for word in words.split() if word != "-f"]
    if len(parts) != 1:
        raise Misused("eject: block device name expected")
    drive = _drive(session, parts[0])
    if not (drive.is_cd or parts[0].startswith("floppy")):
        raise MonitorError(f"Error: Device '{parts[0]}' is not removable")
    drive.eject()
    return ""


def _change(session: Session, words: str) -> str:
    """`change [-f] device file [format] [read-only-mode]`"""
    try:
        parts = [word for word in shlex.split(words) if word != "-f"]
    except ValueError as error:
        raise MonitorError(f"change: {error}") from None
    if not 2 <= len(parts) <= 4:
        raise Misused("change: block device name expected")
    modes = {"read-only": True, "read-write": False, "retain": None}
    mode = parts[3] if len(parts) > 3 else "retain"
    if mode not in modes:
        raise MonitorError(f"change: write {', '.join(modes)} instead of {shown(mode)}")
    _drive(session, parts[0])
    kind = parts[2] if len(parts) > 2 else None
    session.machine.change(parts[0], parts[1], kind, modes[mode])
    return ""


def _drive(session: Session, name: str) -> Any:
    try:
        return session.machine.drives[name]
    except KeyError:
        raise MonitorError(f"Error: Device '{shown(name)}' not found") from None


def _log(session: Session, items: str) -> str:
    if items == "help":
        from tcg.log import items_help

        return items_help()
    session.machine.set_log("" if items == "none" else items)
    return ""


def _log_file(session: Session, path: str | None) -> str:
    session.machine.set_log_file(path or "")
    return ""


# fmt: off
COMMANDS: tuple[Command, ...] = (
    Command(("help", "?"), "w?", "[cmd]", "show the help", _help),
    Command(("info",), "w?", "[subcommand]", "show a part of the machine; info alone lists them",
            _info),
    Command(("stop", "s"), "", "", "stop emulation", _stop),
    Command(("cont", "c"), "", "", "resume emulation", _continue),
    Command(("quit", "q"), "", "", "quit the emulator", _quit),
    Command(("system_reset",), "", "", "reset the system", _reset),
    Command(("system_powerdown",), "", "", "press the power button", _power_down),
    Command(("nmi",), "", "", "inject an NMI", _nmi),
    Command(("x",), "/e", "/fmt addr", "memory at a virtual address", _examine),
    Command(("xp",), "/e", "/fmt addr", "memory at a physical address", _examine_physical),
    Command(("print", "p"), "/e", "/fmt expr", "the value of an expression ($reg for registers)",
            _print),
    Command(("i",), "/e", "/fmt addr", "read a port", _port_in),
    Command(("o",), "/ee", "/fmt addr value", "write a port", _port_out),
    Command(("sum",), "ee", "addr size", "checksum of physical memory", _sum),
    Command(("memsave",), "eew", "addr size file", "save virtual memory", _save),
    Command(("pmemsave",), "eew", "addr size file", "save physical memory", _save_physical),
    Command(("sendkey",), "we?", "keys [hold_ms]", "press keys, e.g. sendkey ctrl-alt-delete",
            _send_key),
    Command(("mouse_move",), "www?", "dx dy [dz]", "move the mouse right, down, its wheel",
            _move_mouse),
    Command(("mouse_button",), "e", "state", "press buttons: 1 left, 2 middle, 4 right",
            _press_buttons),
    Command(("screendump",), "ww?w?", "filename [-f format]",
            "save the screen: .png, .ppm, or .txt in text modes", _screendump),
    Command(("eject",), "r", "[-f] device", "take a medium out (info block lists devices)", _eject),
    Command(("change",), "r", "device file [format [mode]]", "put another medium in", _change),
    Command(("log",), "w", "item1[,...]", "log items; none stops it, help lists them", _log),
    Command(("logfile",), "w?", "filename", "where the log goes", _log_file),
)
# fmt: on

BY_NAME = {name: command for command in COMMANDS for name in command.names}

"""What -serial, -monitor and -chardev say about a stream of characters; see `machine.chardev`."""

from __future__ import annotations

from dataclasses import dataclass

from machine.errors import MachineError, shown
from machine.option_values import read_number, read_pairs, read_switch

CHARACTER_SWITCHES = ("server", "nowait", "wait", "nodelay", "telnet", "mux")

KINDS = ("stdio", "file", "pty", "socket", "null", "none", "vc", "chardev")
"""As -chardev calls them; `tcp:` is a socket. `none` is not even a port; `vc` is null."""


@dataclass(slots=True)
class CharacterOptions:
    """One end of a line.

    `path` is a file's name or the id of a -chardev; `mux` shares it with others and the monitor,
    by Ctrl-A; `has_monitor` is `mon:`; `waits` is for a client before the machine starts.
    """

    kind: str
    path: str = ""
    host: str = ""
    port: int = 0
    is_server: bool = False
    waits: bool = True
    mux: bool = False
    has_monitor: bool = False
    signals: bool = True
    """Whether Ctrl-C ends the emulator, for stdio."""
    append: bool = False

    @classmethod
    def of_pairs(cls, text: str, pairs: dict[str, str]) -> CharacterOptions:
        """What -chardev says."""
        kind = pairs.get("backend", "")
        if kind not in KINDS[:5]:
            known = ", ".join(KINDS[:5])
            raise MachineError(f"-chardev: there is no {shown(kind)}; there are {known}")
        made = cls(kind, pairs.get("path", ""), pairs.get("host", ""))
        made.is_server, made.waits = _server(pairs)
        made.mux = read_switch("-chardev mux", pairs.get("mux", "off"))
        made.signals = read_switch("-chardev signal", pairs.get("signal", "on")) and not made.mux
        made.append = read_switch("-chardev append", pairs.get("append", "off"))
        if kind == "socket":
            made.port = read_number("-chardev port", pairs.get("port", ""), 0, 65535)
        if kind == "file" and not made.path:
            raise MachineError(f"-chardev {shown(text)}: it needs path=file")
        return made


def _server(pairs: dict[str, str]) -> tuple[bool, bool]:
    is_server = read_switch("server", pairs.get("server", "off"))
    waits = read_switch("wait", pairs.get("wait", "on"))
    if "nowait" in pairs:
        waits = not read_switch("nowait", pairs["nowait"])
    return is_server, waits


def read_character(option: str, text: str) -> CharacterOptions:
    """Read `stdio`, `file:name`, `tcp:host:port,server,nowait`, `mon:` before any, ..."""
    if text.startswith("mon:"):
        made = read_character(option, text.removeprefix("mon:"))
        made.mux = made.has_monitor = True
        made.signals = False
        return made
    kind, _, rest = text.partition(":")
    match kind:
        case "stdio" | "null" | "none" | "pty" if not rest:
            return CharacterOptions(kind)
        case "vc":
            return CharacterOptions("null")
        case "file" | "chardev" if rest:
            return CharacterOptions(kind, rest)
        case "tcp" | "telnet":
            return _tcp(option, text, rest)
        case _:
            raise MachineError(
                f"{option} {shown(text)}: write stdio, file:name, pty, tcp:host:port, null, none,"
                " chardev:id, or mon: before one of them"
            )


def _tcp(option: str, text: str, rest: str) -> CharacterOptions:
    place, _, words = rest.partition(",")
    host, found, port = place.rpartition(":")
    if not found:
        raise MachineError(f"{option} {shown(text)}: write tcp:host:port[,server][,nowait]")
    made = CharacterOptions("socket", host=host.strip("[]"))
    made.port = read_number(f"{option} tcp", port, 0, 65535)
    if words:
        pairs = read_pairs(option, words, CHARACTER_SWITCHES, switches=CHARACTER_SWITCHES)
        made.is_server, made.waits = _server(pairs)
        made.mux = "mux" in pairs
    return made

"""The wires out of a PC: serial ports, debug ports and monitors, each at a character device."""

from __future__ import annotations

from collections.abc import Callable

from machine.board import COM_PORTS, Board
from machine.character_options import CharacterOptions
from machine.chardev import CharacterDevice, Mux, open_characters
from machine.devices.debug_ports import DebugConsole, DebugExit
from machine.errors import MachineError, shown
from machine.option_values import read_number
from machine.options import DeviceOptions, Settings
from machine.running import Pc
from machine.serial_line import SerialLine

DEBUG_EXIT_PORT, DEBUG_CONSOLE_PORT = 0x501, 0xE9


class Wires:
    """Serial ports, debug ports and monitors, each at its character device."""

    def __init__(self, pc: Pc, settings: Settings) -> None:
        self._pc = pc
        self._settings = settings
        self.devices: list[CharacterDevice] = []
        self._named: dict[str, CharacterDevice | Mux] = {}
        self._stdio: str = ""
        serial = [one for one in settings.serial if one.kind != "none"]
        self._lines = [
            SerialLine(self._open(one, f"serial{number}"), pc.loop.wake)
            for number, one in enumerate(serial)
        ]
        for device in self._of_kind("isa-serial"):
            self._lines.append(SerialLine(self._device_end(device, f"serial{len(self._lines)}")))
        for number, one in enumerate(settings.monitor):
            if one.kind != "none":
                self._monitor(self._open(one, f"compat_monitor{number}"))
        self._debug = self._open_debug()

    def _of_kind(self, kind: str) -> list[DeviceOptions]:
        return [device for device in self._settings.devices if device.kind == kind]

    def serial_sinks(self) -> tuple[Callable[[int], None], ...]:
        """What each UART sends to."""
        if len(self._lines) > len(COM_PORTS):
            raise MachineError("-device isa-serial: a PC has at most four serial ports")
        return tuple(line.send for line in self._lines)

    def connect(self, board: Board) -> None:
        """The board is there: its UARTs receive, further debug ports are attached."""
        for line, uart in zip(self._lines, board.uarts, strict=True):
            line.connect(uart)
        for device in self._of_kind("isa-debug-exit"):
            port = read_number("iobase", device.properties.get("iobase", "0x501"), 0, 0xFFFF)
            if port != DEBUG_EXIT_PORT:
                _attach(board, port, DebugExit(self._pc.debug_exit), device.kind)
        for device in self._of_kind("isa-debugcon"):
            port = read_number("iobase", device.properties.get("iobase", "0xe9"), 0, 0xFFFF)
            end = self._device_end(device, f"debugcon{port:x}")
            if port == DEBUG_CONSOLE_PORT:
                self._debug = end
            else:
                _attach(board, port, DebugConsole(_byte_sink(end)), device.kind)

    def debug_exit(self, status: int) -> None:
        """Port 501h, if it was asked for."""
        for device in self._of_kind("isa-debug-exit"):
            if int(device.properties.get("iobase", "0x501"), 0) == DEBUG_EXIT_PORT:
                self._pc.debug_exit(status)

    def debug_console(self, value: int) -> None:
        if self._debug is not None:
            self._debug.write(bytes((value,)))

    def _open_debug(self) -> CharacterDevice | None:
        options = self._settings.debug_console
        return self._open(options, "debugcon") if options is not None else None

    def _device_end(self, device: DeviceOptions, label: str) -> CharacterDevice:
        name = device.properties.get("chardev")
        options = CharacterOptions("chardev", name) if name else CharacterOptions("null")
        return self._open(options, label)

    def _open(self, options: CharacterOptions, label: str) -> CharacterDevice:
        """One end of what an option asks for, shared where it says so."""
        if options.kind == "chardev":
            return self._open_named(options.path)
        made = self._make(options, label)
        if not options.mux:
            return made
        mux = Mux(made, self._pc.quit)
        end = mux.end()
        if options.has_monitor:
            self._monitor(mux.end())
        return end

    def _open_named(self, name: str) -> CharacterDevice:
        options = self._settings.characters[name]
        if name not in self._named:
            made = self._make(options, name)
            self._named[name] = Mux(made, self._pc.quit) if options.mux else made
            if not options.mux:
                return made
        known = self._named[name]
        if isinstance(known, Mux):
            return known.end()
        raise MachineError(f"chardev {shown(name)} is in use; mux=on shares it")

    def _make(self, options: CharacterOptions, label: str) -> CharacterDevice:
        if options.kind == "stdio":
            if self._stdio:
                raise MachineError(f"{label}: {self._stdio} is at stdio already; mon: shares it")
            self._stdio = label
        made = open_characters(options, label)
        self.devices.append(made)
        self._pc.loop.add(made)
        return made

    def _monitor(self, device: CharacterDevice) -> None:
        from machine.monitor.commands import Session
        from machine.monitor.console import Monitor

        Monitor(Session(self._pc), device, self._pc.standing)


def _attach(board: Board, port: int, device: DebugExit | DebugConsole, kind: str) -> None:
    try:
        board.ports.attach(port, device)
    except ValueError as error:
        raise MachineError(f"-device {kind},iobase={port:#x}: {error}") from None


def _byte_sink(device: CharacterDevice) -> Callable[[int], None]:
    return lambda value: device.write(bytes((value,)))

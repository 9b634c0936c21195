"""PS/2 keyboard and mouse: what is at the other ends of the keyboard controller's two cables.

Sources: IBM, "PS/2 Hardware Interface Technical Reference", Keyboards and Mouse; Microsoft,
"Keyboard Scan Code Specification" 1.3a; Microsoft's notes on the IntelliMouse packet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from machine.clock import SECOND, Clock

ACK, RESEND, SELF_TEST_PASSED, ECHO = 0xFA, 0xFE, 0xAA, 0xEE

MS = SECOND // 1000


# fmt: off
SET_2 = {
    "esc": 0x76, "f1": 0x05, "f2": 0x06, "f3": 0x04, "f4": 0x0C, "f5": 0x03, "f6": 0x0B,
    "f7": 0x83, "f8": 0x0A, "f9": 0x01, "f10": 0x09, "f11": 0x78, "f12": 0x07,
    "grave_accent": 0x0E, "1": 0x16, "2": 0x1E, "3": 0x26, "4": 0x25, "5": 0x2E, "6": 0x36,
    "7": 0x3D, "8": 0x3E, "9": 0x46, "0": 0x45, "minus": 0x4E, "equal": 0x55, "backspace": 0x66,
    "tab": 0x0D, "q": 0x15, "w": 0x1D, "e": 0x24, "r": 0x2D, "t": 0x2C, "y": 0x35, "u": 0x3C,
    "i": 0x43, "o": 0x44, "p": 0x4D, "bracket_left": 0x54, "bracket_right": 0x5B, "ret": 0x5A,
    "caps_lock": 0x58, "a": 0x1C, "s": 0x1B, "d": 0x23, "f": 0x2B, "g": 0x34, "h": 0x33,
    "j": 0x3B, "k": 0x42, "l": 0x4B, "semicolon": 0x4C, "apostrophe": 0x52, "backslash": 0x5D,
    "shift": 0x12, "less": 0x61, "z": 0x1A, "x": 0x22, "c": 0x21, "v": 0x2A, "b": 0x32, "n": 0x31,
    "m": 0x3A, "comma": 0x41, "dot": 0x49, "slash": 0x4A, "shift_r": 0x59,
    "ctrl": 0x14, "alt": 0x11, "spc": 0x29, "num_lock": 0x77, "scroll_lock": 0x7E,
    "kp_7": 0x6C, "kp_8": 0x75, "kp_9": 0x7D, "kp_subtract": 0x7B, "kp_4": 0x6B, "kp_5": 0x73,
    "kp_6": 0x74, "kp_add": 0x79, "kp_1": 0x69, "kp_2": 0x72, "kp_3": 0x7A, "kp_0": 0x70,
    "kp_decimal": 0x71, "kp_multiply": 0x7C, "sysrq": 0x84,
    "ro": 0x51, "yen": 0x6A, "henkan": 0x64, "muhenkan": 0x67, "katakanahiragana": 0x13,
    # behind E0h
    "alt_r": 0xE011, "ctrl_r": 0xE014, "meta_l": 0xE01F, "meta_r": 0xE027, "menu": 0xE02F,
    "kp_divide": 0xE04A, "kp_enter": 0xE05A, "end": 0xE069, "left": 0xE06B, "home": 0xE06C,
    "insert": 0xE070, "delete": 0xE071, "down": 0xE072, "right": 0xE074, "up": 0xE075,
    "pgdn": 0xE07A, "pgup": 0xE07D, "power": 0xE037, "sleep": 0xE03F, "wake": 0xE05E,
}
"""Make codes of scan code set 2, by the names that the monitor's `sendkey` has for keys."""

PRINT = (bytes.fromhex("e012 e07c"), bytes.fromhex("e0f07c e0f012"))
PAUSE = bytes.fromhex("e11477 e1f014f077")

TO_SET_1 = bytes.fromhex(
    "ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59"
    "65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b"
    "67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d"
    "69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f"
    "6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61"
    "6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76"
    "55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f"
    "52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54"
    "80 81 82 41 54"
)
"""What the controller makes of the codes of set 2, from 00h to 84h; others stay as they are."""
# fmt: on

BREAK = 0xF0
"""Precedes the code of a key that is let go, in set 2."""


def codes(key: int, down: bool) -> bytes:
    """A key's make or break code as bytes.

    >>> codes(0xE075, down=False).hex(" ")
    'e0 f0 75'
    """
    prefix = b"\xe0" if key > 0xFF else b""
    return prefix + (b"" if down else bytes((BREAK,))) + bytes((key & 0xFF,))


class Ps2Device:
    """What keyboard and mouse have in common: bytes for the host that wait to be fetched."""

    SIZE = 16
    """How many bytes wait at most; answers to commands always find room."""

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.is_ready: Callable[[], None] = lambda: None
        """Is called when bytes wait."""
        self._last = 0
        self._argument_for = 0
        """The command whose parameter is to come."""

    def fetch(self) -> int:
        """The next byte, for the controller."""
        self._last = self.waiting.popleft()
        return self._last

    def has_room(self, count: int) -> bool:
        return len(self.waiting) + count <= self.SIZE

    def answer(self, *values: int) -> None:
        self.waiting.extend(values)
        self.is_ready()

    def receive(self, value: int) -> None:
        """Take a byte from the host: a command or its parameter."""
        raise NotImplementedError


class Keyboard(Ps2Device):
    """An enhanced keyboard that speaks scan code set 2, and answers for sets 1 and 3.

    Not modelled: codes of set 3, keys that are make-only or not typematic by choice (F7h to FDh are
    acknowledged), and the other codes of Print Screen with Alt, Ctrl or Shift.
    """

    OVERRUN = 0x00

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._repeat_timer = clock.timer(self._repeat)
        self.leds = 0
        """Scroll, Num and Caps Lock: bits 0, 1, 2."""
        self.reset()

    def reset(self) -> None:
        """Power-on, without its answer."""
        self.waiting.clear()
        self.leds = 0
        self._argument_for = 0
        self._set = 2
        self._defaults()
        self._scans = True

    def press_once(self, name: str, down: bool) -> bool:
        """As `press`, of a key that does not repeat: for hosts that are late to let go of it."""
        is_key = self.press(name, down)
        self._repeat_timer.cancel()
        return is_key

    def press(self, name: str, down: bool) -> bool:
        """A key goes down or up; False if there is no such key.

        Keys that are down repeat until they or another change.
        """
        if name == "pause":
            made = PAUSE if down else b""
        elif name == "print":
            made = PRINT[0 if down else 1]
        elif name in SET_2:
            made = codes(SET_2[name], down)
        else:
            return False
        self._repeated = made if down and name != "pause" else b""
        self._emit(made)
        self._repeat_timer.cancel()
        if self._repeated:
            self._repeat_timer.after(self._delay)
        return True

    def receive(self, value: int) -> None:
        if self._argument_for and value < 0x80:
            command, self._argument_for = self._argument_for, 0
            self._argument(command, value)
            return
        self._argument_for = 0
        match value:
            case 0xED | 0xF0 | 0xF3 | 0xFB | 0xFC | 0xFD:
                self._argument_for = value
                self.answer(ACK)
            case 0xEE:
                self.answer(ECHO)
            case 0xF2:
                self.answer(ACK, 0xAB, 0x83)
            case 0xF4:
                self.waiting.clear()
                self._scans = True
                self.answer(ACK)
            case 0xF5 | 0xF6:
                self.waiting.clear()
                self._defaults()
                self._scans = value == 0xF6
                self.answer(ACK)
            case 0xF7 | 0xF8 | 0xF9 | 0xFA:
                self.answer(ACK)
            case 0xFE:
                self.answer(self._last)
            case 0xFF:
                self.reset()
                self.answer(ACK, SELF_TEST_PASSED)
            case _:
                self.answer(RESEND)

    def _argument(self, command: int, value: int) -> None:
        match command:
            case 0xED:
                self.leds = value & 7
                self.answer(ACK)
            case 0xF0 if value == 0:
                self.answer(ACK, self._set)
            case 0xF0 if value <= 3:
                self._set = value
                self.answer(ACK)
            case 0xF0:
                self.answer(RESEND)
            case 0xF3:
                self._set_typematic(value)
                self.answer(ACK)
            case _:
                self.answer(ACK)

    def _defaults(self) -> None:
        self._repeated = b""
        self._repeat_timer.cancel()
        self._set_typematic(0x2B)  # 10.9 a second after half a second

    def _set_typematic(self, value: int) -> None:
        """Delay (1 + bits 6-5) * 250 ms; period (8 + bits 2-0) * 2**(bits 4-3) / 240 s."""
        self._delay = ((value >> 5 & 3) + 1) * 250 * MS
        self._period = (8 + (value & 7) << (value >> 3 & 3)) * SECOND // 240

    def _repeat(self, _: int) -> None:
        self._emit(self._repeated)
        self._repeat_timer.after(self._period)

    def _emit(self, made: bytes) -> None:
        if not self._scans or not made:
            return
        if self.has_room(len(made)):
            self.answer(*made)
        elif not self.waiting or self.waiting[-1] != self.OVERRUN:
            self.answer(self.OVERRUN)


class Mouse(Ps2Device):
    """A PS/2 mouse that becomes an IntelliMouse when asked by its sample rates.

    200, 100, 80 gives it the wheel (identity 3), 200, 200, 80 five buttons too (identity 4). Not
    modelled: the sample rate itself; a packet is made when the one before has been fetched.
    """

    WHEEL = (200, 100, 80)
    BUTTONS = (200, 200, 80)

    def __init__(self) -> None:
        super().__init__()
        self._buttons = 0
        self.reset()

    def reset(self) -> None:
        """Power-on, without its answer."""
        self.waiting.clear()
        self._argument_for = 0
        self._wraps = False
        self._identity = 0
        self._rates: deque[int] = deque(maxlen=3)
        self._defaults()

    def _defaults(self) -> None:
        self._rate = 100
        self._resolution = 2
        self._scaling = 1
        self._is_remote = False
        self._reports = False
        self._moved = [0, 0, 0]
        self._reported = self._buttons

    def move(self, dx: int, dy: int, dz: int = 0) -> None:
        """It is moved right, up, and its wheel towards the user."""
        for axis, by in enumerate((dx, dy, dz)):
            self._moved[axis] += by
        self._stream()

    def press(self, buttons: int) -> None:
        """Buttons that are down now: left, right, middle and two more, from bit 0 on."""
        self._buttons = buttons
        self._stream()

    def fetch(self) -> int:
        value = super().fetch()
        if not self.waiting:
            self._stream()
        return value

    def receive(self, value: int) -> None:
        if self._wraps and value not in {0xEC, 0xFF}:
            self.answer(value)
            return
        if self._argument_for:
            self._argument(value)
            return
        match value:
            case 0xE6 | 0xE7:
                self._scaling = value - 0xE5
                self.answer(ACK)
            case 0xE8 | 0xF3:
                self._argument_for = value
                self.answer(ACK)
            case 0xE9:
                self.answer(ACK, self._status(), self._resolution, self._rate)
            case 0xEB:
                self.answer(ACK, *self._packet())
            case 0xEA | 0xF0:
                self._is_remote = value == 0xF0
                self.answer(ACK)
            case 0xEC | 0xEE:
                self._wraps = value == 0xEE
                self.answer(ACK)
            case 0xF2:
                self.answer(ACK, self._identity)
            case 0xF4 | 0xF5:
                self._reports = value == 0xF4
                self.answer(ACK)
                self._stream()
            case 0xF6:
                self._defaults()
                self.answer(ACK)
            case 0xFE:
                self.answer(self._last)
            case 0xFF:
                self.reset()
                self.answer(ACK, SELF_TEST_PASSED, 0)
            case _:
                self.answer(RESEND)

    def _argument(self, value: int) -> None:
        command, self._argument_for = self._argument_for, 0
        if command == 0xE8:
            self._resolution = value & 3
        else:
            self._rate = value
            self._rates.append(value)
            if tuple(self._rates) == self.WHEEL:
                self._identity = 3
            elif tuple(self._rates) == self.BUTTONS:
                self._identity = 4
        self.answer(ACK)

    def _status(self) -> int:
        left, right, middle = (self._buttons >> n & 1 for n in range(3))
        modes = self._is_remote << 6 | self._reports << 5 | (self._scaling == 2) << 4
        return modes | left << 2 | middle << 1 | right

    def _stream(self) -> None:
        """Report if there is news, and the last report is with the host."""
        if not self._reports or self._is_remote or self.waiting:
            return
        if any(self._moved) or self._buttons != self._reported:
            self.answer(*self._packet())

    def _packet(self) -> list[int]:
        """Signs, overflows and buttons; dx; dy; wheel and further buttons."""
        dx, dy = (self._take(axis, 255) for axis in (0, 1))
        self._reported = self._buttons
        packet = [
            (dy < 0) << 5 | (dx < 0) << 4 | 0x08 | self._buttons & 7,
            dx & 0xFF,
            dy & 0xFF,
        ]
        if self._identity == 3:
            packet.append(self._take(2, 127) & 0xFF)
        elif self._identity == 4:
            packet.append(self._take(2, 7) & 0x0F | (self._buttons >> 3 & 3) << 4)
        else:
            self._moved[2] = 0
        return packet

    def _take(self, axis: int, limit: int) -> int:
        """As much of a movement as one packet holds; the rest comes with the next."""
        taken = max(-limit, min(limit, self._moved[axis]))
        self._moved[axis] -= taken
        return taken

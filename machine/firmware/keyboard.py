"""The keyboard: IRQ1's scan codes become keys in the BIOS's buffer, INT 16h takes them out.

Source: IBM, "BIOS Interface Technical Reference", INT 16h and the key table of INT 09h.
"""

from __future__ import annotations

from collections.abc import Callable

from machine.firmware import bda
from machine.firmware.call import Call, Guest

# fmt: off
RIGHT_SHIFT, LEFT_SHIFT, CTRL, ALT                   = 0x01, 0x02, 0x04, 0x08
SCROLL_LOCK, NUM_LOCK, CAPS_LOCK, INSERT             = 0x10, 0x20, 0x40, 0x80
SHIFT = RIGHT_SHIFT | LEFT_SHIFT
LEFT_CTRL, LEFT_ALT, PAUSED                          = 0x01, 0x02, 0x08     # in SHIFT_FLAGS_2
E0_SEEN, E1_SEEN, RIGHT_CTRL, RIGHT_ALT, ENHANCED    = 0x02, 0x01, 0x04, 0x08, 0x10

NO_ACTION, CTRL_BREAK, PRINT_SCREEN, SYSTEM_REQUEST  = 0, 1, 2, 3
"""What the ROM does after a scan code."""

# Keys by scan code (set 1): plain, with shift, with Ctrl, with Alt; a word is scan code and
# character, None is no key. Letters follow Caps Lock.
ROWS = ((0x10, "qwertyuiop"), (0x1E, "asdfghjkl"), (0x2C, "zxcvbnm"))
LETTERS = {code: letter for first, row in ROWS for code, letter in enumerate(row, first)}
KEYS: dict[int, tuple[int | None, int | None, int | None, int | None]] = {
    0x01: (0x011B, 0x011B, 0x011B, 0x0100),
    0x02: (0x0231, 0x0221, None,   0x7800), 0x03: (0x0332, 0x0340, 0x0300, 0x7900),
    0x04: (0x0433, 0x0423, None,   0x7A00), 0x05: (0x0534, 0x0524, None,   0x7B00),
    0x06: (0x0635, 0x0625, None,   0x7C00), 0x07: (0x0736, 0x075E, 0x071E, 0x7D00),
    0x08: (0x0837, 0x0826, None,   0x7E00), 0x09: (0x0938, 0x092A, None,   0x7F00),
    0x0A: (0x0A39, 0x0A28, None,   0x8000), 0x0B: (0x0B30, 0x0B29, None,   0x8100),
    0x0C: (0x0C2D, 0x0C5F, 0x0C1F, 0x8200), 0x0D: (0x0D3D, 0x0D2B, None,   0x8300),
    0x0E: (0x0E08, 0x0E08, 0x0E7F, 0x0E00), 0x0F: (0x0F09, 0x0F00, 0x9400, 0xA500),
    0x1A: (0x1A5B, 0x1A7B, 0x1A1B, 0x1A00), 0x1B: (0x1B5D, 0x1B7D, 0x1B1D, 0x1B00),
    0x1C: (0x1C0D, 0x1C0D, 0x1C0A, 0x1C00), 0x27: (0x273B, 0x273A, None,   0x2700),
    0x28: (0x2827, 0x2822, None,   0x2800), 0x29: (0x2960, 0x297E, None,   0x2900),
    0x2B: (0x2B5C, 0x2B7C, 0x2B1C, 0x2B00), 0x33: (0x332C, 0x333C, None,   0x3300),
    0x34: (0x342E, 0x343E, None,   0x3400), 0x35: (0x352F, 0x353F, None,   0x3500),
    0x37: (0x372A, 0x372A, 0x9600, 0x3700), 0x39: (0x3920, 0x3920, 0x3920, 0x3920),
    0x4A: (0x4A2D, 0x4A2D, 0x8E00, 0x4A00), 0x4E: (0x4E2B, 0x4E2B, 0x9000, 0x4E00),
    0x56: (0x565C, 0x567C, None,   None),
    0x57: (0x8500, 0x8700, 0x8900, 0x8B00), 0x58: (0x8600, 0x8800, 0x8A00, 0x8C00),
    **{0x3B + n: (0x3B00 + (n << 8), 0x5400 + (n << 8), 0x5E00 + (n << 8), 0x6800 + (n << 8))
       for n in range(10)},
    **{code: (code << 8 | ord(letter), code << 8 | ord(letter.upper()),
              code << 8 | ord(letter) & 0x1F, code << 8) for code, letter in LETTERS.items()},
}
# The number pad: as cursor keys, as digits, with Ctrl.
PAD: dict[int, tuple[int, int, int]] = {
    0x47: (0x4700, 0x4737, 0x7700), 0x48: (0x4800, 0x4838, 0x8D00), 0x49: (0x4900, 0x4939, 0x8400),
    0x4B: (0x4B00, 0x4B34, 0x7300), 0x4C: (0x4C00, 0x4C35, 0x8F00), 0x4D: (0x4D00, 0x4D36, 0x7400),
    0x4F: (0x4F00, 0x4F31, 0x7500), 0x50: (0x5000, 0x5032, 0x9100), 0x51: (0x5100, 0x5133, 0x7600),
    0x52: (0x5200, 0x5230, 0x9200), 0x53: (0x5300, 0x532E, 0x9300),
}
PAD_DIGITS = {0x47: 7, 0x48: 8, 0x49: 9, 0x4B: 4, 0x4C: 5, 0x4D: 6, 0x4F: 1, 0x50: 2, 0x51: 3,
              0x52: 0}
# Grey keys with Alt: scan codes of their own.
GREY_ALT = {0x47: 0x97, 0x48: 0x98, 0x49: 0x99, 0x4B: 0x9B, 0x4D: 0x9D, 0x4F: 0x9F, 0x50: 0xA0,
            0x51: 0xA1, 0x52: 0xA2, 0x53: 0xA3}
SHIFTS = {0x2A: LEFT_SHIFT, 0x36: RIGHT_SHIFT, 0x1D: CTRL, 0x38: ALT}
LOCKS = {0x3A: CAPS_LOCK, 0x45: NUM_LOCK, 0x46: SCROLL_LOCK}
# fmt: on

INSERT_KEY, DELETE_KEY, SLASH, ENTER = 0x52, 0x53, 0x35, 0x1C
SYSTEM_KEY, PRINT_KEY = 0x54, 0x37


class Keyboard:
    """INT 16h, and what INT 09h does with a scan code. `restart` is Ctrl-Alt-Del's."""

    def __init__(self, guest: Guest, restart: Callable[[], None]) -> None:
        self._guest = guest
        self._restart = restart
        self.poll: Callable[[], None] = lambda: None
        """Is called when somebody wants a key: there may be other sources of them."""

    def set_up(self) -> None:
        guest = self._guest
        for at, value in (
            (bda.KEY_HEAD, 0x1E),
            (bda.KEY_TAIL, 0x1E),
            (bda.KEY_BUFFER_START, 0x1E),
            (bda.KEY_BUFFER_END, 0x3E),
        ):
            guest.put_word(at, value)
        guest.put_byte(bda.KEYBOARD_STATE, ENHANCED)

    # INT 16h

    def call(self, call: Call) -> None:
        match call.ah:
            case 0x00 | 0x10:
                self.poll()
                self._take(call, enhanced=call.ah == 0x10)
            case 0x01 | 0x11:
                self.poll()
                self._look(call, enhanced=call.ah == 0x11)
            case 0x02:
                call.al = self._guest.byte(bda.SHIFT_FLAGS)
            case 0x03 if call.al == 5:
                pass  # typematic rate: the keyboard keeps its own
            case 0x05:
                call.al = 0 if self.put(call.cx) else 1
            case 0x09:
                call.al = 0x30  # 10h to 12h and 0Ah are there
            case 0x0A:
                call.bx = 0x41AB
            case 0x12:
                call.ax = self._all_shifts()
            case 0x92:
                call.ah = 0x80  # "enhanced functions are there"
            case 0xA2:
                pass

    def _all_shifts(self) -> int:
        guest = self._guest
        low, second = guest.byte(bda.SHIFT_FLAGS), guest.byte(bda.SHIFT_FLAGS_2)
        right = guest.byte(bda.KEYBOARD_STATE) & (RIGHT_CTRL | RIGHT_ALT)
        return (second & 0x73 | (second & 4) << 5 | right) << 8 | low

    def _take(self, call: Call, *, enhanced: bool) -> None:
        """Wait for a key: interrupts are let in, and the ROM asks again."""
        while (key := self._first()) is not None:
            self._drop()
            if (shown := key if enhanced else plain(key)) is not None:
                call.ax = enhanced_word(key) if enhanced else shown
                return
        call.not_yet = True

    def _look(self, call: Call, *, enhanced: bool) -> None:
        while (key := self._first()) is not None:
            if (shown := enhanced_word(key) if enhanced else plain(key)) is not None:
                call.ax, call.zero = shown, False
                return
            self._drop()
        call.zero = True

    def _first(self) -> int | None:
        guest = self._guest
        head = guest.word(bda.KEY_HEAD)
        if head == guest.word(bda.KEY_TAIL):
            return None
        return guest.word(0x400 + head)

    def _next(self, at: int) -> int:
        guest = self._guest
        at += 2
        return guest.word(bda.KEY_BUFFER_START) if at >= guest.word(bda.KEY_BUFFER_END) else at

    def _drop(self) -> None:
        self._guest.put_word(bda.KEY_HEAD, self._next(self._guest.word(bda.KEY_HEAD)))

    def put(self, key: int) -> bool:
        """Put a key into the buffer, unless it is full."""
        guest = self._guest
        tail = guest.word(bda.KEY_TAIL)
        after = self._next(tail)
        if after == guest.word(bda.KEY_HEAD):
            return False
        guest.put_word(0x400 + tail, key)
        guest.put_word(bda.KEY_TAIL, after)
        return True

    # INT 09h

    def scan(self, code: int) -> int:
        """A byte of the keyboard; returns what the ROM is to do."""
        guest = self._guest
        state = guest.byte(bda.KEYBOARD_STATE)
        if code in {0xE0, 0xE1}:
            guest.put_byte(bda.KEYBOARD_STATE, state | (E0_SEEN if code == 0xE0 else E1_SEEN))
            return NO_ACTION
        if code in {0xFA, 0xFE, 0xAA, 0x00, 0xFF, 0xEE}:
            if code != 0xAA or not self._flags() & LEFT_SHIFT:
                return NO_ACTION
        grey, pause = bool(state & E0_SEEN), bool(state & E1_SEEN)
        key, is_up = code & 0x7F, bool(code & 0x80)
        if pause and key == 0x1D:
            return NO_ACTION  # Pause is E1 1D 45
        guest.put_byte(bda.KEYBOARD_STATE, state & ~(E0_SEEN | E1_SEEN))
        if pause:
            return NO_ACTION
        return self._key(key, is_up=is_up, grey=grey)

    def _flags(self) -> int:
        return self._guest.byte(bda.SHIFT_FLAGS)

    def _key(self, key: int, *, is_up: bool, grey: bool) -> int:
        if key in SHIFTS:
            if not (grey and key in {0x2A, 0x36}):  # E0 2A goes with grey keys: no shift
                self._shift(key, is_up=is_up, grey=grey)
            return NO_ACTION
        if grey and key == 0x46:
            return NO_ACTION if is_up else self._break()
        if key in LOCKS:
            return self._lock(key, is_up=is_up)
        if key == SYSTEM_KEY:
            return SYSTEM_REQUEST | is_up << 8
        if grey and key == PRINT_KEY:
            return NO_ACTION if is_up else PRINT_SCREEN
        if key == INSERT_KEY:
            self._hold(bda.SHIFT_FLAGS_2, INSERT, is_up=is_up)
        if is_up:
            return NO_ACTION
        if key == DELETE_KEY and self._flags() & (CTRL | ALT) == CTRL | ALT:
            self._guest.put_word(bda.RESET_FLAG, 0x1234)
            self._restart()
            return NO_ACTION
        if key == INSERT_KEY and not self._flags() & (CTRL | ALT | SHIFT):
            self._guest.put_byte(bda.SHIFT_FLAGS, self._flags() ^ INSERT)
        word = self._word(key, grey=grey)
        if word is not None:
            self.put(word)
        return NO_ACTION

    def _hold(self, at: int, bit: int, *, is_up: bool) -> None:
        flags = self._guest.byte(at)
        self._guest.put_byte(at, flags & ~bit if is_up else flags | bit)

    def _shift(self, key: int, *, is_up: bool, grey: bool) -> None:
        """Shift, Ctrl and Alt: the left and the right ones are known apart."""
        guest = self._guest
        bit = SHIFTS[key]
        if key in {0x1D, 0x38}:
            left = LEFT_CTRL if key == 0x1D else LEFT_ALT
            right = RIGHT_CTRL if key == 0x1D else RIGHT_ALT
            at, own = (bda.KEYBOARD_STATE, right) if grey else (bda.SHIFT_FLAGS_2, left)
            self._hold(at, own, is_up=is_up)
            held = guest.byte(bda.KEYBOARD_STATE) & right or guest.byte(bda.SHIFT_FLAGS_2) & left
            self._hold(bda.SHIFT_FLAGS, bit, is_up=not held)
        else:
            self._hold(bda.SHIFT_FLAGS, bit, is_up=is_up)
        if key == 0x38 and is_up and (digits := guest.byte(bda.ALT_DIGITS)):
            guest.put_byte(bda.ALT_DIGITS, 0)
            self.put(digits)

    def _lock(self, key: int, *, is_up: bool) -> int:
        bit = LOCKS[key]
        guest = self._guest
        if key == 0x46 and self._flags() & CTRL and not is_up:
            return self._break()
        if not is_up and not guest.byte(bda.SHIFT_FLAGS_2) & bit:
            guest.put_byte(bda.SHIFT_FLAGS, self._flags() ^ bit)
        self._hold(bda.SHIFT_FLAGS_2, bit, is_up=is_up)
        return NO_ACTION

    def _break(self) -> int:
        """Ctrl-Break empties the buffer and leaves a key of zeros."""
        guest = self._guest
        guest.put_byte(bda.BREAK, guest.byte(bda.BREAK) | 0x80)
        start = guest.word(bda.KEY_BUFFER_START)
        guest.put_word(bda.KEY_HEAD, start)
        guest.put_word(bda.KEY_TAIL, start)
        self.put(0)
        return CTRL_BREAK

    def _word(self, key: int, *, grey: bool) -> int | None:
        """Scan code and character of a key that goes down."""
        flags = self._flags()
        if key in PAD:
            return self._pad(key, flags, grey=grey)
        if key not in KEYS:
            return None
        words = KEYS[key]
        if flags & ALT:
            word = words[3]
            return 0xA600 if word is not None and grey and key == ENTER else word
        if flags & CTRL:
            word = words[2]
            return 0x9500 if grey and key == SLASH else 0xE00A if grey and key == ENTER else word
        shifted = bool(flags & SHIFT) != bool(flags & CAPS_LOCK and key in LETTERS)
        word = words[1] if shifted else words[0]
        if grey and key in {SLASH, ENTER}:
            return 0xE02F if key == SLASH else 0xE00D
        return word

    def _pad(self, key: int, flags: int, *, grey: bool) -> int | None:
        cursor, digit, with_ctrl = PAD[key]
        if flags & ALT:
            if grey:
                return GREY_ALT[key] << 8 if key in GREY_ALT else None
            if key in PAD_DIGITS:
                typed = self._guest.byte(bda.ALT_DIGITS) * 10 + PAD_DIGITS[key]
                self._guest.put_byte(bda.ALT_DIGITS, typed)
            return None
        if flags & CTRL:
            return with_ctrl | (0xE0 if grey else 0)
        if grey:
            return cursor | 0xE0
        is_digit = bool(flags & NUM_LOCK) != bool(flags & SHIFT)
        return digit if is_digit else cursor if cursor != 0x4C00 else 0x4C00


def word_of(character: int) -> int:
    """Scan code and character of what is typed on a terminal."""
    for words in KEYS.values():
        for word in words[:3]:
            if word is not None and word & 0xFF == character:
                return word
    return character


def plain(key: int) -> int | None:
    """A key as INT 16h AH=0 shows it: grey keys as their old ones, new keys not at all."""
    scan, character = key >> 8, key & 0xFF
    if scan == 0xE0:
        return 0x1C00 | character if character in {0x0D, 0x0A} else 0x3500 | character
    if character == 0xE0 and scan:
        character = 0
    if (character == 0xF0 and scan) or (scan > 0x84 and not character):
        return None
    return scan << 8 | character


def enhanced_word(key: int) -> int:
    """A key as INT 16h AH=10h shows it."""
    return key & 0xFF00 if key & 0xFF == 0xF0 and key >> 8 else key

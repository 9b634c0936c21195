"""The BIOS data area at 0:0400, and the extended one at the end of conventional memory.

Source: IBM, "Personal System/2 and Personal Computer BIOS Interface Technical Reference" (1991),
section 3, "Data Areas and ROM Tables".
"""

from __future__ import annotations

# fmt: off
COM_PORTS, LPT_PORTS, EBDA_SEGMENT  = 0x400, 0x408, 0x40E
EQUIPMENT, MEMORY_KB                = 0x410, 0x413
SHIFT_FLAGS, SHIFT_FLAGS_2          = 0x417, 0x418
ALT_DIGITS, KEY_HEAD, KEY_TAIL      = 0x419, 0x41A, 0x41C
KEY_BUFFER                          = 0x41E
FLOPPY_RECALIBRATED, FLOPPY_MOTOR   = 0x43E, 0x43F
FLOPPY_TIMEOUT, FLOPPY_STATUS       = 0x440, 0x441
VIDEO_MODE, COLUMNS, PAGE_BYTES     = 0x449, 0x44A, 0x44C
PAGE_START, CURSORS, CURSOR_SHAPE   = 0x44E, 0x450, 0x460
ACTIVE_PAGE, CRTC_PORT              = 0x462, 0x463
MODE_CONTROL, COLOR_CONTROL         = 0x465, 0x466
RESUME                              = 0x467
TICKS, MIDNIGHT, BREAK              = 0x46C, 0x470, 0x471
RESET_FLAG                          = 0x472
DISK_STATUS, DISK_COUNT             = 0x474, 0x475
LPT_TIMEOUTS, COM_TIMEOUTS          = 0x478, 0x47C
KEY_BUFFER_START, KEY_BUFFER_END    = 0x480, 0x482
ROWS, CHARACTER_HEIGHT              = 0x484, 0x485
VIDEO_CONTROL, VIDEO_SWITCHES       = 0x487, 0x488
VIDEO_FLAGS, DISPLAY_COMBINATION    = 0x489, 0x48A
FLOPPY_CONTROL                      = 0x48F
FLOPPY_STATE                        = 0x490
KEYBOARD_STATE, KEYBOARD_LEDS       = 0x496, 0x497
WAIT_FLAG_POINTER, WAIT_COUNT       = 0x498, 0x49C
WAIT_ACTIVE                         = 0x4A0
VIDEO_SAVE_POINTER                  = 0x4A8
# fmt: on

EBDA = 0x9FC00
"""The extended data area: the last kilobyte of conventional memory."""
EBDA_KB = 1
CONVENTIONAL_KB = 640 - EBDA_KB

POINTER_HANDLER, POINTER_FLAGS, POINTER_STATE = EBDA + 0x22, EBDA + 0x26, EBDA + 0x27
POINTER_PACKET = EBDA + 0x28
"""What the ROM pushes for the mouse's handler: status, X, Y."""
DISK_TABLES = EBDA + 0x3D
"""Parameters of the first two hard disks (INT 41h and 46h), 16 bytes each."""

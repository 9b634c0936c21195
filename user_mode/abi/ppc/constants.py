"""The constants in which Linux on PowerPC differs from other Linuxes.

Errors have the generic numbers: EDEADLOCK is 58 here and EDEADLK's other name elsewhere, but
kernels say EDEADLK.  Source:
arch/powerpc/include/uapi/asm/{fcntl,mman,socket,errno,termbits,ioctl,ioctls}.h.
"""

from __future__ import annotations

from user_mode.abi import linux

# fmt: off
_OPEN_FLAGS = linux.OPEN_FLAGS | {
    "O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_LARGEFILE": 0o200000, "O_DIRECT": 0o400000,
}

_MAP_FLAGS = linux.MAP_FLAGS | {"MAP_NORESERVE": 0x40, "MAP_LOCKED": 0x80}

_MLOCKALL_FLAGS = {"MCL_CURRENT": 0x2000, "MCL_FUTURE": 0x4000, "MCL_ONFAULT": 0x8000}

_SOCKET_OPTIONS = linux.SOCKET_OPTIONS | {
    "SO_RCVLOWAT": 16, "SO_SNDLOWAT": 17, "SO_RCVTIMEO_OLD": 18, "SO_SNDTIMEO_OLD": 19,
    "SO_PASSCRED": 20, "SO_PEERCRED": 21,
}

_TERMIOS_FLAGS = {
    "c_iflag": linux.TERMIOS_FLAGS["c_iflag"] | {"IXON": 0x200, "IXOFF": 0x400, "IUCLC": 0x1000},
    "c_oflag": linux.TERMIOS_FLAGS["c_oflag"] | {
        "ONLCR": 0x2,    "OLCUC": 0x4,   "NLDLY": 0x300,  "NL1": 0x100,
        "TABDLY": 0xc00, "TAB1": 0x400,
        "TAB2": 0x800,   "TAB3": 0xc00,  "CRDLY": 0x3000, "CR1": 0x1000,    "CR2": 0x2000,
        "CR3": 0x3000,   "FFDLY": 0x4000, "BSDLY": 0x8000, "VTDLY": 0x10000,
    },
    "c_cflag": linux.TERMIOS_FLAGS["c_cflag"] | {
        "CBAUD": 0xff,     "BOTHER": 0x1f,    "B57600": 0x10,   "B115200": 0x11,  "B230400": 0x12,
        "B460800": 0x13,   "B500000": 0x14,   "B576000": 0x15,  "B921600": 0x16,  "B1000000": 0x17,
        "B1152000": 0x18,  "B1500000": 0x19,  "B2000000": 0x1a, "B2500000": 0x1b,
        "B3000000": 0x1c,  "B3500000": 0x1d,  "B4000000": 0x1e,
        "CSIZE": 0x300,    "CS6": 0x100,      "CS7": 0x200,     "CS8": 0x300,     "CSTOPB": 0x400,
        "CREAD": 0x800,    "PARENB": 0x1000,  "PARODD": 0x2000, "HUPCL": 0x4000,  "CLOCAL": 0x8000,
    },
    "c_lflag": linux.TERMIOS_FLAGS["c_lflag"] | {
        "ISIG": 0x80,      "ICANON": 0x100,   "XCASE": 0x4000,  "ECHO": 0x8,      "ECHOE": 0x2,
        "ECHOK": 0x4,      "ECHONL": 0x10,    "NOFLSH": 0x80000000, "TOSTOP": 0x400000,
        "ECHOCTL": 0x40,   "ECHOPRT": 0x20,   "ECHOKE": 0x1,    "FLUSHO": 0x800000,
        "PENDIN": 0x20000000, "IEXTEN": 0x400, "EXTPROC": 0x10000000,
    },
}

_CONTROL_CHARACTERS = {
    "VINTR": 0, "VQUIT": 1, "VERASE": 2, "VKILL": 3, "VEOF": 4, "VMIN": 5, "VEOL": 6, "VTIME": 7,
    "VEOL2": 8, "VSWTC": 9, "VWERASE": 10, "VREPRINT": 11, "VSUSP": 12, "VSTART": 13, "VSTOP": 14,
    "VLNEXT": 15, "VDISCARD": 16,
}
# fmt: on

_IOCTL_ROWS = """\
FIOCLEX      - f 1 0    FIONCLEX     - f 2 0    FIOASYNC     w f 125 4  FIONBIO      w f 126 4
FIONREAD     r f 127 4  FIOQSIZE     r f 128 8
TCGETS       r t 19 44  TCSETS       w t 20 44  TCSETSW      w t 21 44  TCSETSF      w t 22 44
TCSBRK       - t 29 0   TCXONC       - t 30 0   TCFLSH       - t 31 0
TIOCSWINSZ   w t 103 8  TIOCGWINSZ   r t 104 8  TIOCOUTQ     r t 115 4  TIOCSPGRP    w t 118 4
TIOCGPGRP    r t 119 4
"""

CONSTANTS = linux.Constants(
    open_flags=_OPEN_FLAGS,
    map_flags=_MAP_FLAGS,
    mlockall_flags=_MLOCKALL_FLAGS,
    socket_options=_SOCKET_OPTIONS,
    termios_flags=_TERMIOS_FLAGS,
    control_characters=_CONTROL_CHARACTERS,
    ioctl_coding=linux.IoctlCoding(none=1, read=2, write=4, direction_shift=29),
    ioctl_rows=_IOCTL_ROWS,
)

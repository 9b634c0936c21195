"""What most ABIs of Linux share: structures and constants as asm-generic and uapi/linux have them.

An ABI takes these and replaces the rows in which it differs.  Types are those of the layout
language (`user_mode.abi.layout`), so one text serves 32 and 64 bits and both byte orders.
Sources: include/uapi/asm-generic/*.h, include/uapi/linux/*.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STRUCTS = """\
# time
timespec          long tv_sec, long tv_nsec
timespec64        s64 tv_sec, s64 tv_nsec
timeval           long tv_sec, long tv_usec
timeval64         s64 tv_sec, s64 tv_usec
timezone          int tz_minuteswest, int tz_dsttime
itimerval         timeval it_interval, timeval it_value
itimerspec        timespec it_interval, timespec it_value
itimerspec64      timespec64 it_interval, timespec64 it_value
tms               long tms_utime, long tms_stime, long tms_cutime, long tms_cstime
utimbuf           long actime, long modtime
timex             uint modes, long offset, long freq, long maxerror, long esterror, int status,
                  long constant, long precision, long tolerance, timeval time, long tick,
                  long ppsfreq, long jitter, int shift, long stabil, long jitcnt, long calcnt,
                  long errcnt, long stbcnt, int tai, int pad[11]
timex64           uint modes, int pad1, s64 offset, s64 freq, s64 maxerror, s64 esterror,
                  int status, int pad2, s64 constant, s64 precision, s64 tolerance,
                  timeval64 time, s64 tick, s64 ppsfreq, s64 jitter, int shift, int pad3,
                  s64 stabil, s64 jitcnt, s64 calcnt, s64 errcnt, s64 stbcnt, int tai, int pad[11]

# resources and system
rusage            timeval ru_utime, timeval ru_stime, long ru_maxrss, long ru_ixrss, long ru_idrss,
                  long ru_isrss, long ru_minflt, long ru_majflt, long ru_nswap, long ru_inblock,
                  long ru_oublock, long ru_msgsnd, long ru_msgrcv, long ru_nsignals, long ru_nvcsw,
                  long ru_nivcsw
rlimit            ulong rlim_cur, ulong rlim_max
rlimit64          u64 rlim_cur, u64 rlim_max
utsname           char sysname[65], char nodename[65], char release[65], char version[65],
                  char machine[65], char domainname[65]
sysinfo           long uptime, ulong loads[3], ulong totalram, ulong freeram, ulong sharedram,
                  ulong bufferram, ulong totalswap, ulong freeswap, ushort procs, ushort pad,
                  ulong totalhigh, ulong freehigh, uint mem_unit, char _f[8]
sched_param       int sched_priority
sched_attr        u32 size, u32 sched_policy, u64 sched_flags, s32 sched_nice, u32 sched_priority,
                  u64 sched_runtime, u64 sched_deadline, u64 sched_period, u32 sched_util_min,
                  u32 sched_util_max
cap_header        u32 version, int pid
cap_data          u32 effective, u32 permitted, u32 inheritable

# files
statx_timestamp   s64 tv_sec, u32 tv_nsec, s32 pad
statx             u32 stx_mask, u32 stx_blksize, u64 stx_attributes, u32 stx_nlink, u32 stx_uid,
                  u32 stx_gid, u16 stx_mode, u16 pad0, u64 stx_ino, u64 stx_size, u64 stx_blocks,
                  u64 stx_attributes_mask, statx_timestamp stx_atime, statx_timestamp stx_btime,
                  statx_timestamp stx_ctime, statx_timestamp stx_mtime, u32 stx_rdev_major,
                  u32 stx_rdev_minor, u32 stx_dev_major, u32 stx_dev_minor, u64 stx_mnt_id,
                  u32 stx_dio_mem_align, u32 stx_dio_offset_align, u64 spare[12]
fsid              int val[2]
statfs            ulong f_type, ulong f_bsize, ulong f_blocks, ulong f_bfree, ulong f_bavail,
                  ulong f_files, ulong f_ffree, fsid f_fsid, ulong f_namelen, ulong f_frsize,
                  ulong f_flags, ulong f_spare[4]
statfs64          ulong f_type, ulong f_bsize, u64 f_blocks, u64 f_bfree, u64 f_bavail, u64 f_files,
                  u64 f_ffree, fsid f_fsid, ulong f_namelen, ulong f_frsize, ulong f_flags,
                  ulong f_spare[4]
flock             short l_type, short l_whence, long l_start, long l_len, int l_pid
flock64           short l_type, short l_whence, s64 l_start, s64 l_len, int l_pid
f_owner_ex        int type, int pid
iovec             ptr iov_base, size iov_len
linux_dirent64    u64 d_ino, s64 d_off, ushort d_reclen, u8 d_type
file_handle       uint handle_bytes, int handle_type
open_how          u64 flags, u64 mode, u64 resolve
inotify_event     int wd, u32 mask, u32 cookie, u32 len
fsxattr           u32 fsx_xflags, u32 fsx_extsize, u32 fsx_nextents, u32 fsx_projid,
                  u32 fsx_cowextsize, char fsx_pad[8]
file_clone_range  s64 src_fd, u64 src_offset, u64 src_length, u64 dest_offset
mq_attr           long mq_flags, long mq_maxmsg, long mq_msgsize, long mq_curmsgs, long reserved[4]

# waiting
pollfd            int fd, short events, short revents
epoll_event       u32 events, u64 data
sigset_argument   ptr ss, size ss_len
sigaction         ptr sa_handler, ulong sa_flags, ptr sa_restorer, char sa_mask[8]
altstack          ptr ss_sp, int ss_flags, size ss_size
signalfd_siginfo  u32 ssi_signo, s32 ssi_errno, s32 ssi_code, u32 ssi_pid, u32 ssi_uid, s32 ssi_fd,
                  u32 ssi_tid, u32 ssi_band, u32 ssi_overrun, u32 ssi_trapno, s32 ssi_status,
                  s32 ssi_int, u64 ssi_ptr, u64 ssi_utime, u64 ssi_stime, u64 ssi_addr,
                  u16 ssi_addr_lsb, u16 pad2, s32 ssi_syscall, u64 ssi_call_addr, u32 ssi_arch,
                  char pad[28]
sigevent          ptr sigev_value, int sigev_signo, int sigev_notify, int sigev_tid, char pad[48]

# sockets
sockaddr_in6      u16 sin6_family, char sin6_port[2], char sin6_flowinfo[4], char sin6_addr[16],
                  u32 sin6_scope_id
sockaddr_nl       u16 nl_family, u16 nl_pad, u32 nl_pid, u32 nl_groups
sockaddr_ll       u16 sll_family, char sll_protocol[2], int sll_ifindex, u16 sll_hatype,
                  u8 sll_pkttype, u8 sll_halen, char sll_addr[8]
msghdr            ptr msg_name, int msg_namelen, ptr msg_iov, size msg_iovlen, ptr msg_control,
                  size msg_controllen, uint msg_flags
mmsghdr           msghdr msg_hdr, uint msg_len
cmsghdr           size cmsg_len, int cmsg_level, int cmsg_type
linger            int l_onoff, int l_linger
ucred             int pid, uint uid, uint gid
in_pktinfo        int ipi_ifindex, char ipi_spec_dst[4], char ipi_addr[4]
in6_pktinfo       char ipi6_addr[16], int ipi6_ifindex
ip_mreqn          char imr_multiaddr[4], char imr_address[4], int imr_ifindex
ipv6_mreq         char ipv6mr_multiaddr[16], int ipv6mr_interface
tcp_info          u8 tcpi_state, u8 tcpi_ca_state, u8 tcpi_retransmits, u8 tcpi_probes,
                  u8 tcpi_backoff, u8 tcpi_options, u8 tcpi_wscale, u8 tcpi_flags, u32 words[24]
nlmsghdr          u32 nlmsg_len, u16 nlmsg_type, u16 nlmsg_flags, u32 nlmsg_seq, u32 nlmsg_pid
ifreq             char ifr_name[16], char ifr_data[16]
ifreq_int         char ifr_name[16], int ifr_value, char pad[12]
ifconf            int ifc_len, ptr ifc_buf

# terminals
winsize           ushort ws_row, ushort ws_col, ushort ws_xpixel, ushort ws_ypixel
termios           uint c_iflag, uint c_oflag, uint c_cflag, uint c_lflag, u8 c_line, char c_cc[19]
termios2          uint c_iflag, uint c_oflag, uint c_cflag, uint c_lflag, u8 c_line, char c_cc[19],
                  uint c_ispeed, uint c_ospeed

# System V IPC
ipc64_perm        int key, uint uid, uint gid, uint cuid, uint cgid, uint mode, ushort seq,
                  ushort pad2, ulong unused1, ulong unused2
sembuf            ushort sem_num, short sem_op, short sem_flg
seminfo           int semmap, int semmni, int semmns, int semmnu, int semmsl, int semopm,
                  int semume, int semusz, int semvmx, int semaem
msginfo           int msgpool, int msgmap, int msgmax, int msgmnb, int msgmni, int msgssz,
                  int msgtql, ushort msgseg
shminfo64         ulong shmmax, ulong shmmin, ulong shmmni, ulong shmseg, ulong shmall,
                  ulong unused[4]
shm_info          int used_ids, ulong shm_tot, ulong shm_rss, ulong shm_swp, ulong swap_attempts,
                  ulong swap_successes
"""

# fmt: off
OPEN_FLAGS: dict[str, int] = {
    "O_WRONLY":    0o1,        "O_RDWR":      0o2,        "O_CREAT":     0o100,
    "O_EXCL":      0o200,      "O_NOCTTY":    0o400,      "O_TRUNC":     0o1000,
    "O_APPEND":    0o2000,     "O_NONBLOCK":  0o4000,     "O_DSYNC":     0o10000,
    "FASYNC":      0o20000,    "O_DIRECT":    0o40000,    "O_LARGEFILE": 0o100000,
    "O_DIRECTORY": 0o200000,   "O_NOFOLLOW":  0o400000,   "O_NOATIME":   0o1000000,
    "O_CLOEXEC":   0o2000000,  "__O_SYNC":    0o4000000,  "O_PATH":      0o10000000,
    "__O_TMPFILE": 0o20000000,
}

MAP_FLAGS: dict[str, int] = {
    "MAP_SHARED":     0x01,     "MAP_PRIVATE":    0x02,     "MAP_FIXED":           0x10,
    "MAP_ANONYMOUS":  0x20,     "MAP_GROWSDOWN":  0x100,    "MAP_DENYWRITE":       0x800,
    "MAP_EXECUTABLE": 0x1000,   "MAP_LOCKED":     0x2000,   "MAP_NORESERVE":       0x4000,
    "MAP_POPULATE":   0x8000,   "MAP_NONBLOCK":   0x10000,  "MAP_STACK":           0x20000,
    "MAP_HUGETLB":    0x40000,  "MAP_SYNC":       0x80000,  "MAP_FIXED_NOREPLACE": 0x100000,
}

MLOCKALL_FLAGS: dict[str, int] = {"MCL_CURRENT": 1, "MCL_FUTURE": 2, "MCL_ONFAULT": 4}

SOCKET_OPTIONS: dict[str, int] = {
    "SO_DEBUG": 1, "SO_REUSEADDR": 2, "SO_TYPE": 3, "SO_ERROR": 4, "SO_DONTROUTE": 5,
    "SO_BROADCAST": 6, "SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_KEEPALIVE": 9, "SO_OOBINLINE": 10,
    "SO_NO_CHECK": 11, "SO_PRIORITY": 12, "SO_LINGER": 13, "SO_BSDCOMPAT": 14, "SO_REUSEPORT": 15,
    "SO_PASSCRED": 16, "SO_PEERCRED": 17, "SO_RCVLOWAT": 18, "SO_SNDLOWAT": 19,
    "SO_RCVTIMEO_OLD": 20, "SO_SNDTIMEO_OLD": 21, "SO_BINDTODEVICE": 25, "SO_ATTACH_FILTER": 26,
    "SO_DETACH_FILTER": 27, "SO_PEERNAME": 28, "SO_TIMESTAMP_OLD": 29, "SO_ACCEPTCONN": 30,
    "SO_PEERSEC": 31, "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33, "SO_PASSSEC": 34,
    "SO_TIMESTAMPNS_OLD": 35, "SO_MARK": 36, "SO_TIMESTAMPING_OLD": 37, "SO_PROTOCOL": 38,
    "SO_DOMAIN": 39, "SO_RXQ_OVFL": 40, "SO_PEEK_OFF": 42, "SO_NOFCS": 43, "SO_LOCK_FILTER": 44,
    "SO_SELECT_ERR_QUEUE": 45, "SO_BUSY_POLL": 46, "SO_MAX_PACING_RATE": 47,
    "SO_INCOMING_CPU": 49, "SO_INCOMING_NAPI_ID": 56, "SO_COOKIE": 57, "SO_PEERGROUPS": 59,
    "SO_ZEROCOPY": 60, "SO_BINDTOIFINDEX": 62, "SO_TIMESTAMP_NEW": 63, "SO_TIMESTAMPNS_NEW": 64,
    "SO_TIMESTAMPING_NEW": 65, "SO_RCVTIMEO_NEW": 66, "SO_SNDTIMEO_NEW": 67,
}

SOCKET_FLAGS: dict[str, int] = {"SOCK_NONBLOCK": 0o4000, "SOCK_CLOEXEC": 0o2000000}
"""What socket(2), accept4(2) and their kin take beside the type; other flag words follow O_*."""

ERRNOS: dict[str, int] = {}
"""Errors whose numbers differ from the host's."""

TERMIOS_FLAGS: dict[str, dict[str, int]] = {
    "c_iflag": {
        "IGNBRK": 0o1,     "BRKINT": 0o2,     "IGNPAR": 0o4,     "PARMRK": 0o10,    "INPCK": 0o20,
        "ISTRIP": 0o40,    "INLCR": 0o100,    "IGNCR": 0o200,    "ICRNL": 0o400,    "IUCLC": 0o1000,
        "IXON": 0o2000,    "IXANY": 0o4000,   "IXOFF": 0o10000,  "IMAXBEL": 0o20000,
        "IUTF8": 0o40000,
    },
    "c_oflag": {
        "OPOST": 0o1,      "OLCUC": 0o2,      "ONLCR": 0o4,      "OCRNL": 0o10,     "ONOCR": 0o20,
        "ONLRET": 0o40,    "OFILL": 0o100,    "OFDEL": 0o200,    "NLDLY": 0o400,    "NL1": 0o400,
        "CRDLY": 0o3000,   "CR1": 0o1000,     "CR2": 0o2000,     "CR3": 0o3000,
        "TABDLY": 0o14000, "TAB1": 0o4000,
        "TAB2": 0o10000,   "TAB3": 0o14000,   "BSDLY": 0o20000,  "VTDLY": 0o40000,
        "FFDLY": 0o100000,
    },
    "c_cflag": {
        "CBAUD": 0o10017,  "BOTHER": 0o10000, "B57600": 0o10001, "B115200": 0o10002,
        "B230400": 0o10003, "B460800": 0o10004, "B500000": 0o10005, "B576000": 0o10006,
        "B921600": 0o10007, "B1000000": 0o10010, "B1152000": 0o10011, "B1500000": 0o10012,
        "B2000000": 0o10013, "B2500000": 0o10014, "B3000000": 0o10015, "B3500000": 0o10016,
        "B4000000": 0o10017,
        "B50": 1, "B75": 2, "B110": 3, "B134": 4, "B150": 5, "B200": 6, "B300": 7, "B600": 8,
        "B1200": 9, "B1800": 10, "B2400": 11, "B4800": 12, "B9600": 13, "B19200": 14, "B38400": 15,
        "CSIZE": 0o60,     "CS6": 0o20,       "CS7": 0o40,       "CS8": 0o60,       "CSTOPB": 0o100,
        "CREAD": 0o200,    "PARENB": 0o400,   "PARODD": 0o1000,  "HUPCL": 0o2000,
        "CLOCAL": 0o4000,
        "CMSPAR": 0o10000000000,              "CRTSCTS": 0o20000000000,
    },
    "c_lflag": {
        "ISIG": 0o1,       "ICANON": 0o2,     "XCASE": 0o4,      "ECHO": 0o10,      "ECHOE": 0o20,
        "ECHOK": 0o40,     "ECHONL": 0o100,   "NOFLSH": 0o200,   "TOSTOP": 0o400,
        "ECHOCTL": 0o1000,
        "ECHOPRT": 0o2000, "ECHOKE": 0o4000,  "FLUSHO": 0o10000, "PENDIN": 0o40000,
        "IEXTEN": 0o100000, "EXTPROC": 0o200000,
    },
}

TERMIOS_FIELDS: dict[str, tuple[str, ...]] = {
    "NLDLY": ("NL1",),
    "CRDLY": ("CR1", "CR2", "CR3"),
    "TABDLY": ("TAB1", "TAB2", "TAB3"),
    "CSIZE": ("CS6", "CS7", "CS8"),
    "CBAUD": (
        "BOTHER", "B50", "B75", "B110", "B134", "B150", "B200", "B300", "B600", "B1200", "B1800",
        "B2400", "B4800", "B9600", "B19200", "B38400", "B57600", "B115200", "B230400", "B460800",
        "B500000", "B576000", "B921600", "B1000000", "B1152000", "B1500000", "B2000000",
        "B2500000", "B3000000", "B3500000", "B4000000",
    ),
}
"""Parts of a termios word that hold one of several values, not a flag: the mask, the values."""

CONTROL_CHARACTERS: dict[str, int] = {
    "VINTR": 0, "VQUIT": 1, "VERASE": 2, "VKILL": 3, "VEOF": 4, "VTIME": 5, "VMIN": 6, "VSWTC": 7,
    "VSTART": 8, "VSTOP": 9, "VSUSP": 10, "VEOL": 11, "VREPRINT": 12, "VDISCARD": 13,
    "VWERASE": 14, "VLNEXT": 15, "VEOL2": 16,
}
# fmt: on


@dataclass(frozen=True, slots=True)
class IoctlCoding:
    """How _IO, _IOR, _IOW and _IOWR put direction, size, letter and number together."""

    none: int = 0
    read: int = 2
    write: int = 1
    direction_shift: int = 30

    def number(self, direction: str, letter: str, code: int, size: int = 0) -> int:
        """The number of _IO ("-"), _IOR ("r"), _IOW ("w") or _IOWR ("rw")."""
        bits = {"-": self.none, "r": self.read, "w": self.write, "rw": self.read | self.write}
        return bits[direction] << self.direction_shift | size << 16 | ord(letter) << 8 | code


IOCTL_ROWS = """\
TCGETS       0x5401    TCSETS       0x5402    TCSETSW      0x5403    TCSETSF      0x5404
TCSBRK       0x5409    TCXONC       0x540a    TCFLSH       0x540b    TIOCEXCL     0x540c
TIOCNXCL     0x540d    TIOCSCTTY    0x540e    TIOCGPGRP    0x540f    TIOCSPGRP    0x5410
TIOCOUTQ     0x5411    TIOCSTI      0x5412    TIOCGWINSZ   0x5413    TIOCSWINSZ   0x5414
TIOCMGET     0x5415    TIOCMBIS     0x5416    TIOCMBIC     0x5417    TIOCMSET     0x5418
TIOCGSOFTCAR 0x5419    TIOCSSOFTCAR 0x541a    FIONREAD     0x541b    TIOCCONS     0x541d
TIOCPKT      0x5420    FIONBIO      0x5421    TIOCNOTTY    0x5422    TIOCSETD     0x5423
TIOCGETD     0x5424    TCSBRKP      0x5425    TIOCSBRK     0x5427    TIOCCBRK     0x5428
TIOCGSID     0x5429    TIOCGPTN     r T 48 4  TIOCSPTLCK   w T 49 4  TIOCGDEV     r T 50 4
TIOCSIG      w T 54 4  TIOCVHANGUP  0x5437    TIOCGPKT     r T 56 4  TIOCGPTLCK   r T 57 4
TIOCGEXCL    r T 64 4  TIOCGPTPEER  - T 65 0  FIONCLEX     0x5450    FIOCLEX      0x5451
FIOASYNC     0x5452    FIOQSIZE     0x5460
KDGKBTYPE    0x4b33    KDSKBMODE    0x4b45    KDGKBMODE    0x4b44    KDGETMODE    0x4b3b
KDSETMODE    0x4b3a    VT_OPENQRY   0x5600    VT_ACTIVATE  0x5606    VT_WAITACTIVE 0x5607
BLKROSET     - 18 93 0 BLKROGET     - 18 94 0 BLKRRPART    - 18 95 0 BLKGETSIZE   - 18 96 0
BLKFLSBUF    - 18 97 0 BLKSSZGET    - 18 104 0 BLKGETSIZE64 r 18 114 L
FIGETBSZ     - 0 2 0   FIBMAP       - 0 1 0   FICLONE      w 148 9 4 FICLONERANGE w 148 13 32
FS_IOC_GETFLAGS r f 1 L FS_IOC_SETFLAGS w f 2 L FS_IOC_GETVERSION r v 1 L
FS_IOC_FSGETXATTR r X 31 28 FS_IOC_FSSETXATTR w X 32 28 FIFREEZE rw X 119 4 FITHAW rw X 120 4
SIOCATMARK   0x8905    SIOCGIFNAME  0x8910    SIOCGIFCONF  0x8912    SIOCGIFFLAGS 0x8913
SIOCSIFFLAGS 0x8914    SIOCGIFADDR  0x8915    SIOCSIFADDR  0x8916    SIOCGIFDSTADDR 0x8917
SIOCGIFBRDADDR 0x8919  SIOCGIFNETMASK 0x891b  SIOCGIFMETRIC 0x891d   SIOCGIFMTU   0x8921
SIOCGIFHWADDR 0x8927   SIOCGIFINDEX 0x8933    SIOCGIFTXQLEN 0x8942
RNDGETENTCNT r R 0 4
"""
"""Requests of ioctl(2).  A number as it is, or direction, letter (or its code), number and size of
the argument, `L` for the size of a long, for the ABI's coding to put together.
"""


def ioctl_numbers(rows: str, coding: IoctlCoding, long_size: int) -> dict[str, int]:
    """Read a text of ioctl rows: name to number in an ABI."""
    words = rows.split()
    numbers: dict[str, int] = {}
    while words:
        name = words.pop(0)
        if words[0].startswith("0x"):
            numbers[name] = int(words.pop(0), 16)
            continue
        direction, letter, code, size = words[:4]
        del words[:4]
        letter = chr(int(letter)) if letter.isdigit() else letter
        bytes_ = long_size if size == "L" else int(size)
        numbers[name] = coding.number(direction, letter, int(code), bytes_)
    return numbers


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of one ABI that are not the same on every one, by the headers' names."""

    open_flags: Mapping[str, int] = field(default_factory=lambda: OPEN_FLAGS)
    map_flags: Mapping[str, int] = field(default_factory=lambda: MAP_FLAGS)
    mlockall_flags: Mapping[str, int] = field(default_factory=lambda: MLOCKALL_FLAGS)
    socket_options: Mapping[str, int] = field(default_factory=lambda: SOCKET_OPTIONS)
    socket_flags: Mapping[str, int] = field(default_factory=lambda: SOCKET_FLAGS)
    errnos: Mapping[str, int] = field(default_factory=lambda: ERRNOS)
    termios_flags: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: TERMIOS_FLAGS)
    control_characters: Mapping[str, int] = field(default_factory=lambda: CONTROL_CHARACTERS)
    ioctl_coding: IoctlCoding = IoctlCoding()
    ioctl_rows: str = ""
    """Rows that replace those of IOCTL_ROWS."""

    def ioctls(self, long_size: int) -> dict[str, int]:
        """Every ioctl request's number, by name."""
        rows = (IOCTL_ROWS, self.ioctl_rows)
        return {
            name: number
            for text in rows
            for name, number in ioctl_numbers(text, self.ioctl_coding, long_size).items()
        }

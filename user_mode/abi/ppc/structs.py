"""The structures of Linux on 32-bit PowerPC.  Source: arch/powerpc/include/uapi/asm/*.h."""

from __future__ import annotations

from user_mode.abi import linux
from user_mode.abi.layout import DataModel, Structs

_DIFFERENT = """\
timespec64        s64 tv_sec, u32 pad, int tv_nsec  # the kernel ignores the upper half of tv_nsec
stat              ulong st_dev, ulong st_ino, uint st_mode, ushort st_nlink, uint st_uid,
                  uint st_gid, ulong st_rdev, long st_size, ulong st_blksize, ulong st_blocks,
                  ulong st_atime, ulong st_atime_nsec, ulong st_mtime, ulong st_mtime_nsec,
                  ulong st_ctime, ulong st_ctime_nsec, ulong unused4, ulong unused5
stat64            u64 st_dev, u64 st_ino, uint st_mode, uint st_nlink, uint st_uid, uint st_gid,
                  u64 st_rdev, ushort pad2, s64 st_size, int st_blksize, s64 st_blocks,
                  int st_atime, uint st_atime_nsec, int st_mtime, uint st_mtime_nsec, int st_ctime,
                  uint st_ctime_nsec, uint unused4, uint unused5
oldstat           ushort st_dev, ushort st_ino, ushort st_mode, ushort st_nlink, ushort st_uid,
                  ushort st_gid, ushort st_rdev, ulong st_size, ulong st_atime, ulong st_mtime,
                  ulong st_ctime
old_sigaction     ptr sa_handler, char sa_mask[4], ulong sa_flags, ptr sa_restorer
linux_dirent      ulong d_ino, ulong d_off, ushort d_reclen
termios           uint c_iflag, uint c_oflag, uint c_cflag, uint c_lflag, char c_cc[19], u8 c_line,
                  uint c_ispeed, uint c_ospeed
ipc64_perm        int key, uint uid, uint gid, uint cuid, uint cgid, uint mode, uint seq, uint pad1,
                  u64 unused1, u64 unused2
shmid64_ds        ipc64_perm shm_perm, ulong shm_atime_high, ulong shm_atime, ulong shm_dtime_high,
                  ulong shm_dtime, ulong shm_ctime_high, ulong shm_ctime, ulong unused4,
                  size shm_segsz, int shm_cpid, int shm_lpid, ulong shm_nattch, ulong unused5,
                  ulong unused6
semid64_ds        ipc64_perm sem_perm, ulong sem_otime_high, ulong sem_otime, ulong sem_ctime_high,
                  ulong sem_ctime, ulong sem_nsems, ulong unused3, ulong unused4
msqid64_ds        ipc64_perm msg_perm, ulong msg_stime_high, ulong msg_stime, ulong msg_rtime_high,
                  ulong msg_rtime, ulong msg_ctime_high, ulong msg_ctime, ulong msg_cbytes,
                  ulong msg_qnum, ulong msg_qbytes, int msg_lspid, int msg_lrpid, ulong unused4,
                  ulong unused5
"""

STRUCTS = Structs(DataModel(">", long_size=4), linux.STRUCTS, _DIFFERENT)

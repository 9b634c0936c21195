"""The structures of Linux on i386, where 64 bits are aligned to 4 bytes.

Source: arch/x86/include/uapi/asm/*.h, arch/x86/include/asm/compat.h.
"""

from __future__ import annotations

from user_mode.abi import linux
from user_mode.abi.layout import DataModel, Structs

_DIFFERENT = """\
timespec64        s64 tv_sec, int tv_nsec, u32 pad  # the kernel ignores the upper half of tv_nsec
stat              ulong st_dev, ulong st_ino, ushort st_mode, ushort st_nlink, ushort st_uid,
                  ushort st_gid, ulong st_rdev, ulong st_size, ulong st_blksize, ulong st_blocks,
                  ulong st_atime, ulong st_atime_nsec, ulong st_mtime, ulong st_mtime_nsec,
                  ulong st_ctime, ulong st_ctime_nsec, ulong unused4, ulong unused5
stat64            u64 st_dev, char pad0[4], ulong __st_ino, uint st_mode, uint st_nlink,
                  ulong st_uid, ulong st_gid, u64 st_rdev, char pad3[4], s64 st_size,
                  ulong st_blksize, u64 st_blocks, ulong st_atime, ulong st_atime_nsec,
                  ulong st_mtime, ulong st_mtime_nsec, ulong st_ctime, ulong st_ctime_nsec,
                  u64 st_ino
oldstat           ushort st_dev, ushort st_ino, ushort st_mode, ushort st_nlink, ushort st_uid,
                  ushort st_gid, ushort st_rdev, ulong st_size, ulong st_atime, ulong st_mtime,
                  ulong st_ctime
old_sigaction     ptr sa_handler, char sa_mask[4], ulong sa_flags, ptr sa_restorer
linux_dirent      ulong d_ino, ulong d_off, ushort d_reclen
mmap_arguments    ulong addr, ulong len, ulong prot, ulong flags, long fd, ulong offset
select_arguments  ulong n, ptr inp, ptr outp, ptr exp, ptr tvp
user_desc         uint entry_number, uint base_addr, uint limit, uint flags
ipc64_perm        int key, uint uid, uint gid, uint cuid, uint cgid, ushort mode, ushort pad1,
                  ushort seq, ushort pad2, ulong unused1, ulong unused2
shmid64_ds        ipc64_perm shm_perm, size shm_segsz, ulong shm_atime, ulong shm_atime_high,
                  ulong shm_dtime, ulong shm_dtime_high, ulong shm_ctime, ulong shm_ctime_high,
                  int shm_cpid, int shm_lpid, ulong shm_nattch, ulong unused4, ulong unused5
semid64_ds        ipc64_perm sem_perm, ulong sem_otime, ulong sem_otime_high, ulong sem_ctime,
                  ulong sem_ctime_high, ulong sem_nsems, ulong unused3, ulong unused4
msqid64_ds        ipc64_perm msg_perm, ulong msg_stime, ulong msg_stime_high, ulong msg_rtime,
                  ulong msg_rtime_high, ulong msg_ctime, ulong msg_ctime_high, ulong msg_cbytes,
                  ulong msg_qnum, ulong msg_qbytes, int msg_lspid, int msg_lrpid, ulong unused4,
                  ulong unused5
"""

STRUCTS = Structs(DataModel("<", long_size=4, align_64=4), linux.STRUCTS, _DIFFERENT)

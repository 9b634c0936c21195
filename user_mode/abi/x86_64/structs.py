"""The structures of Linux on x86-64.  Source: arch/x86/include/uapi/asm/*.h."""

from __future__ import annotations

from user_mode.abi import linux
from user_mode.abi.layout import DataModel, Structs

_DIFFERENT = """\
stat              ulong st_dev, ulong st_ino, ulong st_nlink, uint st_mode, uint st_uid,
                  uint st_gid, int pad0, ulong st_rdev, long st_size, long st_blksize,
                  long st_blocks, ulong st_atime, ulong st_atime_nsec, ulong st_mtime,
                  ulong st_mtime_nsec, ulong st_ctime, ulong st_ctime_nsec, long unused[3]
epoll_event       packed, u32 events, u64 data
linux_dirent      ulong d_ino, ulong d_off, ushort d_reclen
sysinfo           long uptime, ulong loads[3], ulong totalram, ulong freeram, ulong sharedram,
                  ulong bufferram, ulong totalswap, ulong freeswap, ushort procs, ushort pad,
                  ulong totalhigh, ulong freehigh, uint mem_unit
sigevent          ptr sigev_value, int sigev_signo, int sigev_notify, int sigev_tid, char pad[44]
ifreq             char ifr_name[16], char ifr_data[24]
ifreq_int         char ifr_name[16], int ifr_value, char pad[20]
shmid64_ds        ipc64_perm shm_perm, size shm_segsz, long shm_atime, long shm_dtime,
                  long shm_ctime, int shm_cpid, int shm_lpid, ulong shm_nattch, ulong unused[2]
semid64_ds        ipc64_perm sem_perm, long sem_otime, ulong unused1, long sem_ctime, ulong unused2,
                  ulong sem_nsems, ulong unused[2]
msqid64_ds        ipc64_perm msg_perm, long msg_stime, long msg_rtime, long msg_ctime,
                  ulong msg_cbytes, ulong msg_qnum, ulong msg_qbytes, int msg_lspid, int msg_lrpid,
                  ulong unused[2]
"""

STRUCTS = Structs(DataModel("<", long_size=8), linux.STRUCTS, _DIFFERENT)

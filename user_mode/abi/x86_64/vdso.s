# The code of the vDSO of x86-64 programs; see vdso.py, which has it as bytes.
#
# rdtsc counts the nanoseconds of CLOCK_MONOTONIC.  CLOCK_REALTIME is `delta` more, until the
# former reaches `good_until`; what is not known is asked of the kernel.

        .intel_syntax noprefix
        .set    delta, start - 0x1800
        .set    good_until, delta + 8
        .set    NANO, 1000000000
start:

clock_gettime:                          # edi: clock, rsi: struct timespec
        cmp     edi, 1
        ja      3f
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        test    edi, edi
        jnz     2f
        cmp     rax, [rip + good_until]
        jae     3f
        add     rax, [rip + delta]
2:      xor     edx, edx
        mov     ecx, NANO
        div     rcx
        mov     [rsi], rax
        mov     [rsi + 8], rdx
        xor     eax, eax
        ret
3:      mov     eax, 228
        syscall
        ret

        .balign 16
gettimeofday:                           # rdi: struct timeval, rsi: struct timezone
        test    rsi, rsi
        jnz     3f
        test    rdi, rdi
        jz      3f
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        cmp     rax, [rip + good_until]
        jae     3f
        add     rax, [rip + delta]
        xor     edx, edx
        mov     ecx, NANO
        div     rcx
        mov     [rdi], rax
        mov     eax, edx
        xor     edx, edx
        mov     ecx, 1000
        div     ecx
        mov     [rdi + 8], rax
        xor     eax, eax
        ret
3:      mov     eax, 96
        syscall
        ret

        .balign 16
time:                                   # rdi: time_t, or 0
        rdtsc
        shl     rdx, 32
        or      rax, rdx
        cmp     rax, [rip + good_until]
        jae     3f
        add     rax, [rip + delta]
        xor     edx, edx
        mov     ecx, NANO
        div     rcx
        test    rdi, rdi
        jz      2f
        mov     [rdi], rax
2:      ret
3:      mov     eax, 201
        syscall
        ret

        .balign 16
getcpu:
        mov     eax, 309
        syscall
        ret

        .balign 16
clock_getres:
        mov     eax, 229
        syscall
        ret

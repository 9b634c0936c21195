# The clocks in the vDSO of i386 programs; see vdso.py, which has them as bytes, and the vDSO of
# x86-64, which does the same.
#
# EBX is the beginning of this code; `delta` and `good_until` are where they are there.

        .intel_syntax noprefix
        .set    delta, -0x1800
        .set    good_until, delta + 8
        .set    NANO, 1000000000

# EDX:EAX <- nanoseconds of clock EAX, 0 or 1, and CF is clear; or CF is set, and it is not known.
now:
        cmp     eax, 1
        ja      8f
        mov     ecx, eax
        rdtsc
        jecxz   7f
        clc
        ret
7:      cmp     eax, [ebx + good_until]
        mov     ecx, edx
        sbb     ecx, [ebx + good_until + 4]
        jae     8f
        add     eax, [ebx + delta]
        adc     edx, [ebx + delta + 4]
        clc
        ret
8:      stc
        ret

        .balign 16
clock_gettime:                          # clock, struct timespec with 32 bits
        push    ebx
        call    1f
1:      pop     ebx
        sub     ebx, 1b - now
        mov     eax, [esp + 8]
        call    now
        jc      3f
        mov     ecx, NANO
        div     ecx
        mov     ecx, [esp + 12]
        mov     [ecx], eax
        mov     [ecx + 4], edx
        xor     eax, eax
        pop     ebx
        ret
3:      mov     ebx, [esp + 8]
        mov     ecx, [esp + 12]
        mov     eax, 265
        int     0x80
        pop     ebx
        ret

        .balign 16
clock_gettime64:                        # clock, struct timespec with 64 bits
        push    ebx
        call    1f
1:      pop     ebx
        sub     ebx, 1b - now
        mov     eax, [esp + 8]
        call    now
        jc      3f
        mov     ecx, NANO
        div     ecx
        mov     ecx, [esp + 12]
        mov     [ecx], eax
        mov     [ecx + 8], edx
        xor     eax, eax
        mov     [ecx + 4], eax
        mov     [ecx + 12], eax
        pop     ebx
        ret
3:      mov     ebx, [esp + 8]
        mov     ecx, [esp + 12]
        mov     eax, 403
        int     0x80
        pop     ebx
        ret

        .balign 16
gettimeofday:                           # struct timeval, struct timezone
        push    ebx
        call    1f
1:      pop     ebx
        sub     ebx, 1b - now
        cmp     dword ptr [esp + 12], 0
        jne     3f
        cmp     dword ptr [esp + 8], 0
        je      3f
        xor     eax, eax
        call    now
        jc      3f
        mov     ecx, NANO
        div     ecx
        mov     ebx, [esp + 8]
        mov     [ebx], eax
        mov     eax, edx
        xor     edx, edx
        mov     ecx, 1000
        div     ecx
        mov     [ebx + 4], eax
        xor     eax, eax
        pop     ebx
        ret
3:      mov     ebx, [esp + 8]
        mov     ecx, [esp + 12]
        mov     eax, 78
        int     0x80
        pop     ebx
        ret

        .balign 16
time:                                   # time_t, or 0
        push    ebx
        call    1f
1:      pop     ebx
        sub     ebx, 1b - now
        xor     eax, eax
        call    now
        jc      3f
        mov     ecx, NANO
        div     ecx
        mov     ecx, [esp + 8]
        jecxz   2f
        mov     [ecx], eax
2:      pop     ebx
        ret
3:      mov     ebx, [esp + 8]
        mov     eax, 13
        int     0x80
        pop     ebx
        ret

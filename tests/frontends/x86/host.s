# Runs cases on the host's own processor.  Everything is found through a control block at a fixed
# address below 2 GiB, as no register is free while a case runs.  Numbers in double braces are in
# host.py and case.py.

        .globl  host_run, host_signal, host_resume, host_enter64, host_enter32
        .globl  host_exits

# host_run(): run all cases from CURRENT to END
host_run:
        push    rbp
        push    rbx
        push    r12
        push    r13
        push    r14
        push    r15
        mov     [{{HOST_SP}}], rsp
        rdfsbase rax
        mov     [{{HOST_FS}}], rax
        rdgsbase rax
        mov     [{{HOST_GS}}], rax
next:
        mov     rbx, [{{CURRENT}}]
        cmp     rbx, [{{END}}]
        je      done
        lea     rsi, [rbx + {{case.WINDOW}}]
        mov     rdi, [{{DATA_AT}}]
        mov     rcx, [{{WINDOW_SIZE}}]
        rep     movsb
        test    dword ptr [{{USES_VECTORS}}], 1
        je      1f
        mov     eax, 7
        xor     edx, edx
        xrstor  [rbx + {{case.XSAVE}}]
1:      jmp     qword ptr [{{ENTER}}]

host_enter64:
        mov     rax, [rbx + {{case.FS_BASE}}]
        wrfsbase rax
        mov     rax, [rbx + {{case.GS_BASE}}]
        wrgsbase rax
        push    qword ptr [rbx + {{case.RFLAGS}}]
        popfq
        mov     rax, [rbx + 0]
        mov     rcx, [rbx + 8]
        mov     rdx, [rbx + 16]
        mov     rsp, [rbx + 32]
        mov     rbp, [rbx + 40]
        mov     rsi, [rbx + 48]
        mov     rdi, [rbx + 56]
        mov     r8,  [rbx + 64]
        mov     r9,  [rbx + 72]
        mov     r10, [rbx + 80]
        mov     r11, [rbx + 88]
        mov     r12, [rbx + 96]
        mov     r13, [rbx + 104]
        mov     r14, [rbx + 112]
        mov     r15, [rbx + 120]
        mov     rbx, [rbx + 24]
        jmp     qword ptr [{{ENTRY}}]

host_enter32:
        mov     eax, [{{DATA_SELECTOR}}]
        mov     ds, eax
        mov     es, eax
        mov     eax, [{{FS_SELECTOR}}]
        mov     fs, eax
        mov     eax, [{{GS_SELECTOR}}]
        mov     gs, eax
        push    qword ptr [rbx + {{case.RFLAGS}}]
        popfq
        mov     eax, [{{STACK_SELECTOR}}]
        mov     ss, eax
        mov     eax, [rbx + 0]
        mov     ecx, [rbx + 8]
        mov     edx, [rbx + 16]
        mov     esp, [rbx + 32]
        mov     ebp, [rbx + 40]
        mov     esi, [rbx + 48]
        mov     edi, [rbx + 56]
        mov     ebx, [rbx + 24]
        jmp     fword ptr [{{FAR_ENTRY}}]

# The ways out, 16 bytes each: the number of the exit, then what all share.
        .p2align 4
host_exits:
        .set    number, 0
        .rept   {{EXITS}}
        .p2align 4
        mov     dword ptr [{{EXIT_NUMBER}}], number
        jmp     leave
        .set    number, number + 1
        .endr

leave:
        mov     [{{SAVED_RAX}}], rax
        mov     rax, [{{AFTER}}]
        mov     [rax + 8], rcx
        mov     [rax + 16], rdx
        mov     [rax + 24], rbx
        mov     [rax + 32], rsp
        mov     [rax + 40], rbp
        mov     [rax + 48], rsi
        mov     [rax + 56], rdi
        mov     [rax + 64], r8
        mov     [rax + 72], r9
        mov     [rax + 80], r10
        mov     [rax + 88], r11
        mov     [rax + 96], r12
        mov     [rax + 104], r13
        mov     [rax + 112], r14
        mov     [rax + 120], r15
        mov     rsp, [{{HOST_SP}}]
        pushfq
        pop     rcx
        mov     [rax + {{case.RFLAGS}}], rcx
        cld
        mov     rcx, [{{SAVED_RAX}}]
        mov     [rax], rcx
        mov     rbx, rax
        mov     dword ptr [rbx + {{case.ENDED}}], 0
        mov     dword ptr [rbx + {{case.EXIT}}], 0
        mov     ecx, [{{EXIT_NUMBER}}]
        mov     qword ptr [rbx + {{case.ADDRESS}}], 0
        mov     rax, [{{EXIT_PCS}} + 8 * rcx]
        mov     [rbx + {{case.PC}}], rax
        rdfsbase rax
        mov     [rbx + {{case.FS_BASE}}], rax
        rdgsbase rax
        mov     [rbx + {{case.GS_BASE}}], rax
        test    dword ptr [{{USES_VECTORS}}], 1
        je      advance
        mov     eax, 7
        xor     edx, edx
        xsave   [rbx + {{case.XSAVE}}]
        jmp     advance

# A signal has been noted in the case: go on with the next.
host_resume:
        mov     rbx, [{{AFTER}}]
        rdfsbase rax
        mov     [rbx + {{case.FS_BASE}}], rax
        rdgsbase rax
        mov     [rbx + {{case.GS_BASE}}], rax
advance:
        mov     rsi, [{{DATA_AT}}]
        lea     rdi, [rbx + {{case.WINDOW}}]
        mov     rcx, [{{WINDOW_SIZE}}]
        rep     movsb
        mov     rax, [{{STRIDE}}]
        add     [{{CURRENT}}], rax
        add     [{{AFTER}}], rax
        jmp     next

done:
        mov     eax, 0x2b
        mov     ss, eax
        xor     eax, eax
        mov     ds, eax
        mov     es, eax
        mov     fs, eax
        mov     gs, eax
        mov     rax, [{{HOST_FS}}]
        wrfsbase rax
        mov     rax, [{{HOST_GS}}]
        wrgsbase rax
        fninit
        ldmxcsr [{{MXCSR_DEFAULT}}]
        vzeroupper
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbx
        pop     rbp
        ret

# host_signal(number, siginfo, ucontext): note everything in the case, and have the kernel return
# to host_resume, in 64-bit code.
host_signal:
        mov     rcx, [{{AFTER}}]
        .set    gregs, 40
        .macro  note place, number
        mov     rax, [rdx + gregs + 8 * \number]
        mov     [rcx + \place], rax
        .endm
        note    64, 0
        note    72, 1
        note    80, 2
        note    88, 3
        note    96, 4
        note    104, 5
        note    112, 6
        note    120, 7
        note    56, 8
        note    48, 9
        note    40, 10
        note    24, 11
        note    16, 12
        note    0, 13
        note    8, 14
        note    32, 15
        note    {{case.PC}}, 16
        note    {{case.RFLAGS}}, 17
        note    {{case.DETAIL}}, 19
        mov     [rcx + {{case.ENDED}}], edi
        mov     eax, [rdx + gregs + 8 * 20]
        mov     [rcx + {{case.EXIT}}], eax
        xor     esi, esi
        cmp     eax, 14
        jne     2f
        mov     rsi, [rdx + gregs + 8 * 22]
2:      mov     [rcx + {{case.ADDRESS}}], rsi
        test    dword ptr [{{USES_VECTORS}}], 1
        je      3f
        mov     rsi, [rdx + gregs + 184]
        lea     rdi, [rcx + {{case.XSAVE}}]
        mov     ecx, {{case.XSAVE_BYTES}}
        rep     movsb
3:      lea     rax, [rip + host_resume]
        mov     [rdx + gregs + 8 * 16], rax
        mov     rax, [{{HOST_SP}}]
        mov     [rdx + gregs + 8 * 15], rax
        mov     qword ptr [rdx + gregs + 8 * 17], 0x202
        mov     word ptr [rdx + gregs + 8 * 18], 0x33
        mov     word ptr [rdx + gregs + 8 * 18 + 6], 0x2b
        ret

; Long mode: gates of 64 bits, interrupt stacks, IRETQ, far transfers to and from compatibility
; mode, SYSCALL, SYSENTER, SWAPGS, loads of segments; at CPL 0 and 3, in 64-bit and 32-bit code.

%include "rom.inc"

PML4 equ 0x9000
PDPT equ 0xa000
PDIR equ 0xb000
IDT equ 0x2000
TSS equ 0x3000
STACK0 equ 0x5000
STACK_INNER equ 0x5800
STACK_IST equ 0x6008                    ; not aligned: delivery aligns it
STACK3 equ 0x6800

CODE64 equ 0x08
DATA0 equ 0x10
CODE32_3 equ 0x1b
DATA3 equ 0x23
CODE64_3 equ 0x2b
CODE32 equ 0x30
TSS_SELECTOR equ 0x38                   ; two entries
GATE equ 0x48                           ; two entries: a call gate to CODE64
GATE_32 equ 0x58                        ; to 32-bit code
CONFORMING equ 0x68
BOTH equ 0x70                           ; L and D
DATA_ABSENT equ 0x78
LDT_SELECTOR equ 0x80                   ; two entries
BUSY_TSS equ 0x90                       ; two entries

%macro CLEAR 0
        mov rax, 0xa0a0a0a0a1a1a1a1
        mov rbx, 0xb0b0b0b0b1b1b1b1
        mov rsi, 0x5151515152525252
        mov rdi, 0xd1d1d1d1d2d2d2d2
        mov rbp, 0xbbbbbbbbbcbcbcbc
%endmacro

bits 16
entry:
        mov ax, 0x1000
        mov ds, ax
        o32 lgdt [gdt_pointer - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE32:start32

bits 32
start32:
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK0
        mov edi, PML4
        mov ecx, 0x3000 / 4
        xor eax, eax
        rep stosd
        mov dword [PML4], PDPT + 7
        mov dword [PDPT], PDIR + 7
        mov dword [PDIR], 0x87
        mov dword [PDIR + 8], 0x200087
        mov eax, PML4
        mov cr3, eax
        mov eax, cr4
        or eax, 0x620                   ; PAE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov ecx, 0xc0000080
        rdmsr
        or eax, 0x101                   ; LME, SCE
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp CODE64:start64

bits 64
start64:
        call flat
        lidt [idt_pointer]
        xor ecx, ecx
        mov edi, IDT
.gates:
        mov eax, stub_80
        mov edx, 0xee00
        cmp ecx, 32
        jae .known
        mov eax, [stub_table + rcx * 4]
        mov edx, 0x8e00
        cmp ecx, 3
        jne .not3
        mov edx, 0xee00
.not3:
        bt dword [own_stacks], ecx
        jnc .known
        mov edx, 0x8e01
.known:
        cmp ecx, 0x81
        jne .not81
        mov edx, 0xef02                 ; another one, a trap gate
.not81:
        mov [rdi], ax
        mov word [rdi + 2], CODE64
        mov [rdi + 4], dx
        shr eax, 16
        mov [rdi + 6], ax
        mov qword [rdi + 8], 0
        add edi, 16
        inc ecx
        cmp ecx, 0x90
        jb .gates
        ; odd gates
        mov word [IDT + 0x82 * 16 + 2], CODE32
        mov word [IDT + 0x83 * 16 + 2], 0
        mov word [IDT + 0x84 * 16 + 2], DATA0
        mov word [IDT + 0x85 * 16 + 4], 0x6e00
        mov word [IDT + 0x86 * 16 + 4], 0xe600
        mov word [IDT + 0x87 * 16 + 4], 0x8e00
        mov dword [IDT + 0x88 * 16 + 8], 0x8000 ; not canonical
        mov word [IDT + 0x89 * 16 + 2], CONFORMING
        mov word [IDT + 0x8a * 16 + 2], CODE64_3
        mov word [IDT + 0x8b * 16 + 2], 0x7f8
        mov qword [TSS + 4], STACK_INNER
        mov qword [TSS + 36], STACK_IST
        mov qword [TSS + 44], STACK_IST - 0x100
        mov word [TSS + 102], 0x68
        mov ax, TSS_SELECTOR
        ltr ax
        ; SYSCALL and SYSENTER
        mov ecx, 0xc0000081
        xor eax, eax
        mov edx, (CODE32_3 << 16) | CODE64
        wrmsr
        mov ecx, 0xc0000082
        mov eax, entry_syscall
        xor edx, edx
        wrmsr
        mov ecx, 0xc0000084
        mov eax, 0x41
        wrmsr
        mov ecx, 0x174
        mov eax, CODE64
        wrmsr
        mov ecx, 0x175
        mov eax, STACK_INNER - 0x80
        wrmsr
        mov ecx, 0x176
        mov eax, entry_sysenter
        wrmsr
        mov ecx, 0xc0000102
        mov eax, 0x12345000
        mov edx, 0xffff8000
        wrmsr
next_environment:
        mov dword [op], 0
next_op:
        mov edi, record
        mov ecx, RECORD / 4
        xor eax, eax
        rep stosd
        mov byte [gdt + GATE + 5], 0xec
        mov byte [gdt + TSS_SELECTOR + 5], 0x8b
        mov ecx, 0xc0000101
        xor eax, eax
        xor edx, edx
        wrmsr
        mov ecx, [op]
        mov eax, [environment]
        cmp eax, 2
        jae .narrow
        mov edx, [op_table + rcx * 4]
        cmp ecx, OPS
        jae .done
        mov ecx, eax
        CLEAR
        cmp ecx, 1
        je go_64_3
        push qword 2
        popfq
        jmp rdx
.narrow:
        cmp ecx, OPS32
        jae .done
        mov edx, [op_table_32 + rcx * 4]
        mov ecx, eax
        CLEAR
        cmp ecx, 3
        je go_32_3
        mov ecx, CODE32
        push rcx
        push rdx
        retfq
.done:
        inc dword [environment]
        cmp dword [environment], 4
        jb next_environment
        FINISH

go_64_3:
        mov ecx, CODE64_3
        jmp go_3
go_32_3:
        mov ecx, CODE32_3
go_3:
        push qword DATA3
        push qword STACK3
        push qword 2
        push rcx
        push rdx
        mov ecx, DATA3
        mov ds, ecx
        mov es, ecx
        iretq

flat:
        pop rdx
        mov eax, DATA0
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, STACK0
        jmp rdx

%assign vector 0
%rep 32
stub_ %+ vector:
%if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17
%else
        push qword 0xdead
%endif
        push qword vector
        jmp received
%assign vector vector + 1
%endrep
stub_80:
        push qword 0xdead
        push qword 0x80
received:
        mov [record + 16], rax
        mov [record + 24], rcx
        mov [record + 32], rdx
        mov [record + 40], rbx
        mov [record + 48], rsi
        mov [record + 56], rdi
        mov [record + 64], rbp
        mov [record + 136], r11
        mov [record + 8], ds
        mov [record + 10], es
        mov [record + 12], fs
        mov [record + 14], gs
        mov [record + 128], ss
        mov eax, [environment]
        mov [record], al
        mov eax, [op]
        mov [record + 1], al
        pop rax
        mov [record + 2], al
        pop rax
        mov [record + 4], ax
        mov [record + 120], rsp
        pop rax
        mov [record + 72], rax
        pop rax
        mov [record + 80], rax
        pop rax
        mov [record + 88], rax
        pop rax
        mov [record + 96], rax
        pop rax
        mov [record + 104], rax
        mov ecx, 0xc0000101
        rdmsr
        mov [record + 112], eax
        mov [record + 116], edx
        mov ecx, 0xc0000102
        mov eax, 0x12345000
        mov edx, 0xffff8000
        wrmsr
        str [record + 130]
        sldt [record + 132]
        call flat
        push qword 2
        popfq
        mov esi, record
        mov ecx, RECORD
        mov dx, DEBUG_PORT
        cld
        rep outsb
        inc dword [op]
        jmp next_op

entry_syscall:
        mov rsp, STACK_INNER - 0x40
        pushfq
        pop rbx
        mov eax, cs
        mov esi, ss
        int 0x80
entry_sysenter:
        pushfq
        pop rbx
        mov eax, cs
        mov esi, ss
        mov rdi, rsp
        int 0x80

%macro OP 0
%assign op_count op_count + 1
op_ %+ op_count:
%endmacro
%macro TABLE 1
%assign number %1
%rep op_count - %1 + 1
        dd op_ %+ number
%assign number number + 1
%endrep
%endmacro
%assign op_count 0

        OP
        int 0x80
        OP
        int3
        OP
        ud2
        OP
        int 0x81
%assign vector 0x82
%rep 11
        OP
        int vector
        int 0x80
%assign vector vector + 1
%endrep
        OP
        syscall
        int 0x80
        OP
        sysenter
        int 0x80
        OP
        swapgs
        int 0x80
        OP
        mov rcx, .sysret_here
        mov r11, 0x247
        o64 sysret
.sysret_here:
        pushfq
        pop rbx
        mov eax, cs
        mov edx, ss
        int 0x80
        OP
        mov rcx, .sysret_there
        mov r11, 0x3c7fd7
        sysret
bits 32
.sysret_there:
        pushfd
        pop ebx
        mov eax, cs
        mov edx, ss
        int 0x80
bits 64
        OP
        mov rcx, 1 << 47
        mov r11, 2
        o64 sysret
        int 0x80
        OP
        mov rdx, .sysexit_there
        mov rcx, STACK3
        sysexit
bits 32
.sysexit_there:
        mov eax, cs
        mov edx, ss
        int 0x80
bits 64
        OP
        mov rdx, .sysexit_64
        mov rcx, STACK3
        o64 sysexit
.sysexit_64:
        mov eax, cs
        mov edx, ss
        int 0x80

%macro FAR_TO 2                         ; selector, label
        OP
        push qword %1
        push qword %2
        retfq
        OP
        push qword DATA3
        push qword STACK3
        push qword 0x10247
        push qword %1
        push qword %2
        iretq
        OP
        sub rsp, 16
        mov dword [rsp], %2
        mov word [rsp + 4], %1
        jmp far [rsp]
        OP
        sub rsp, 16
        mov dword [rsp], %2
        mov word [rsp + 4], %1
        call far [rsp]
        OP
        sub rsp, 16
        mov qword [rsp], %2
        mov word [rsp + 8], %1
        o64 call far [rsp]
%endmacro
        FAR_TO CODE64, landing
        FAR_TO CODE64_3, landing
        FAR_TO CODE32, landing_32
        FAR_TO CODE32_3, landing_32
        FAR_TO CONFORMING, landing
        FAR_TO CONFORMING | 3, landing
        FAR_TO BOTH, landing
        FAR_TO 0, landing
        FAR_TO DATA0, landing
        FAR_TO 0x7f8, landing
        FAR_TO GATE | 3, landing
        FAR_TO GATE_32 | 3, landing
        FAR_TO TSS_SELECTOR, landing
        FAR_TO LDT_SELECTOR, landing

        OP                              ; a null stack
        push qword 0
        push qword STACK0 - 0x100
        push qword 2
        push qword CODE64
        push qword landing
        iretq
        OP
        push qword 0
        push qword STACK3
        push qword 2
        push qword CODE64_3
        push qword landing
        iretq
        OP
        push qword 3
        push qword STACK3
        push qword 2
        push qword CODE64_3
        push qword landing
        iretq
        OP
        push qword DATA3
        push qword STACK3
        push qword 0x4002               ; NT
        popfq
        push qword 0x2
        push qword CODE64_3
        push qword landing
        iretq
        OP
        push qword DATA3
        push qword STACK3
        push qword 2
        push qword CODE64_3
        mov rax, 1 << 47
        push rax
        iretq

%macro LOAD 1
        OP
        mov eax, %1
        mov ds, eax
        mov eax, %1
        mov fs, eax
        push rax
        pop gs
        mov ebx, [0x600]
        int 0x80
        OP
        mov eax, %1
        mov ss, eax
        int 0x80
%endmacro
        LOAD 0
        LOAD 3
        LOAD DATA0
        LOAD DATA3
        LOAD CODE64
        LOAD DATA_ABSENT
        LOAD TSS_SELECTOR
        LOAD 0x7f8
%macro ASK 1
        OP
        mov eax, %1
        mov rbx, -1
        mov rcx, -1
        lar rbx, eax
        lsl rcx, eax
        pushfq
        pop rdx
        verr ax
        pushfq
        pop rsi
        int 0x80
%endmacro
        ASK CODE64
        ASK TSS_SELECTOR
        ASK LDT_SELECTOR
        ASK GATE
        ASK GATE_32
        ASK BUSY_TSS
        ASK CODE32_3
        OP
        mov eax, LDT_SELECTOR
        lldt ax
        int 0x80
        OP
        mov eax, TSS_SELECTOR
        mov byte [gdt + TSS_SELECTOR + 5], 0x89
        ltr ax
        mov rbx, [gdt + TSS_SELECTOR]
        int 0x80
        OP
        mov eax, BUSY_TSS
        ltr ax
        int 0x80
        OP
        sub rsp, 16
        sgdt [rsp]
        mov ax, [rsp]
        mov rbx, [rsp + 2]
        int 0x80
        OP
        pushfw
        pop ax
        push word 0x7fd7
        popfw
        pushfq
        pop rbx
        int 0x80
        OP
        push qword 0x3c7fd7
        popfq
        pushfq
        pop rbx
        push qword 2
        popfq
        int 0x80
        OP
        enter 16, 2
        mov rax, rsp
        mov rbx, rbp
        leave
        int 0x80
        OP
        cli
        sti
        nop
        pushfq
        pop rbx
        cli
        int 0x80
        OP
        in al, 0x80
        int 0x80
        OP
        mov rax, 1 << 47
        mov rbx, [rax]
        int 0x80
        OP
        mov rax, 1 << 47
        push rax
        ret
        OP
        mov rax, (1 << 47) - 4
        mov [rax], rbx
        int 0x80
        OP
        mov rsp, (1 << 47) - 16
        push rax
        OP
        mov rsp, (1 << 47) + 16
        push rax
        int 0x80
        OP
        mov rax, 0x1_2345_6789
        movnti [fs:0x600], rax
        mov ecx, [gs:0x600]
        int 0x80

landing:
        mov rax, [rsp]
        mov rbx, [rsp + 8]
        mov rcx, [rsp + 16]
        mov rdx, [rsp + 24]
        mov rsi, rsp
        pushfq
        pop rdi
        int 0x80
bits 32
landing_32:
        mov eax, [esp]
        mov ebx, [esp + 4]
        mov ecx, [esp + 8]
        mov edx, [esp + 12]
        mov esi, esp
        pushfd
        pop edi
        int 0x80
LAST_64 equ op_count

; -- compatibility mode ----------------------------------------------------------------------------

%assign first_32 op_count + 1
bits 32
        OP
        int 0x80
        OP
        int3
        OP
        ud2
        OP
        int 0x81
        OP
        int 0x82
        OP
        sysenter
        int 0x80
%macro FAR_TO_32 2
        OP
        push dword 0x11111111
        push dword %1
        push dword %2
        retf 4
        OP
        push dword DATA3
        push dword STACK3
        push dword 0x247
        push dword %1
        push dword %2
        iretd
        OP
        jmp %1:%2
        OP
        call %1:%2
        int 0x80
%endmacro
        FAR_TO_32 CODE64, landing
        FAR_TO_32 CODE64_3, landing
        FAR_TO_32 CODE32, landing_32
        FAR_TO_32 CODE32_3, landing_32
        FAR_TO_32 GATE | 3, landing
        FAR_TO_32 GATE_32 | 3, landing
        FAR_TO_32 TSS_SELECTOR, landing
        OP
        mov eax, DATA3
        mov ss, eax
        mov ds, eax
        int 0x80
        OP
        xor eax, eax
        mov fs, eax
        mov eax, [fs:0]
        int 0x80
        OP
        pushad
        popad
        push dword 0x7fd7
        popfd
        pushfd
        pop ebx
        push dword 2
        popfd
        int 0x80
        OP
        mov ecx, 3
        mov esi, 0x10000
        mov edi, 0x700
        rep movsd
        std
        mov ecx, 3
        rep movsd
        cld
        mov eax, [0x700]
        int 0x80

op_table:
        TABLE 1
OPS equ first_32 - 1
op_table_32 equ op_table + OPS * 4
OPS32 equ op_count - OPS

RECORD equ 144
align 8
op      dd 0
environment dd 0
own_stacks dd 1 << 6 | 1 << 8 | 1 << 12 | 1 << 14
record  times RECORD db 0
stub_table:
%assign vector 0
%rep 32
        dd stub_ %+ vector
%assign vector vector + 1
%endrep
gdt_pointer:
        dw gdt_end - gdt - 1
        dd gdt, 0
idt_pointer:
        dw 0x90 * 16 - 1
        dq IDT
align 8
gdt:
        dq 0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xa0
        DESCRIPTOR 0, 0xfffff, 0x93, 0xc0
        DESCRIPTOR 0, 0xfffff, 0xfb, 0xc0
        DESCRIPTOR 0, 0xfffff, 0xf3, 0xc0
        DESCRIPTOR 0, 0xfffff, 0xfb, 0xa0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xc0
        DESCRIPTOR TSS, 0x67, 0x89, 0
        dq 0
        dw landing - 0x10000, CODE64, 0xec00, 1
        dq 0
        dw landing - 0x10000, CODE32, 0xec00, 1
        dq 0
        DESCRIPTOR 0, 0xfffff, 0x9f, 0xa0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xe0
        DESCRIPTOR 0, 0xfffff, 0x13, 0xc0
        DESCRIPTOR 0x3400, 0x1f, 0x82, 0
        dq 0xffff8000
        DESCRIPTOR 0x3400, 0x67, 0x8b, 0
        dq 0
gdt_end:

ROM_END

; Every kind of descriptor, met by every instruction that looks at one, at CPL 0 and 3.
;
; A GDT has descriptors of all types; for each operation, level, selector and RPL the operation is
; done, and a record of what came of it is sent.  32-bit protected mode without paging.

%include "rom.inc"

%ifndef RPLS
%define RPLS 0, 3
%endif

LANDING equ 0x600
GDT equ 0x1000
IDT equ 0x2000
TSS_MAIN equ 0x3000
TSS_32 equ 0x3100
TSS_16 equ 0x3200
LDT_PLACE equ 0x3300
STACK0 equ 0x5000
STACK3 equ 0x6000
STACK_INNER equ 0x5800
STACK_TASK equ 0x7000

CODE0 equ 0x08
DATA0 equ 0x10
CODE3 equ 0x1b
DATA3 equ 0x23
MAIN equ 0x28
TASK32 equ 0x30
DATA16 equ 0x38

bits 16
entry:
        mov ax, 0x1000
        mov ds, ax
        xor ax, ax
        mov es, ax
        mov si, gdt_image - 0x10000
        mov di, GDT
        mov cx, (gdt_end - gdt_image) / 4
        rep movsd
        o32 lgdt [gdt_pointer - 0x10000]
        o32 lidt [idt_pointer - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE0:flat

bits 32
flat:
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK0
        mov esi, landing_code
        mov edi, LANDING
        mov ecx, landing_end - landing_code
        rep movsb
        call make_idt

        mov dword [op], 0
.next_op:
        mov eax, [op]
        cmp dword [operations + eax * 8], 0
        je .done
        mov dword [level], 0
.next_level:
        mov eax, [op]
        mov ecx, [operations + eax * 8 + 4]
        cmp dword [level], 0
        je .enter
        test ecx, 1                     ; only for CPL 0
        jnz .skip_level
.enter:
        mov dword [sel], 0
.next_selector:
        mov dword [rpl_index], 0
.next_rpl:
        mov eax, [rpl_index]
        movzx eax, byte [rpls + eax]
        cmp al, 0xff
        je .rpls_done
        or eax, [sel]
        mov [selector], eax
        call one
        inc dword [rpl_index]
        jmp .next_rpl
.rpls_done:
        add dword [sel], 8
        cmp dword [sel], gdt_end - gdt_image + 8
        jb .next_selector
.skip_level:
        add dword [level], 3
        cmp dword [level], 3
        jbe .next_level
        inc dword [op]
        jmp .next_op
.done:
        FINISH

rpls    db RPLS, 0xff

make_idt:
        mov edi, IDT
        xor ecx, ecx
.loop:
        cmp ecx, 0x81
        jae .end
        mov eax, [stub_table + ecx * 4]
        cmp ecx, 32
        jb .known
        mov eax, stub_80
.known:
        mov [edi], ax
        mov word [edi + 2], CODE0
        mov dx, 0x8e00
        cmp ecx, 0x80
        jne .dpl
        mov dx, 0xee00
.dpl:
        mov [edi + 4], dx
        shr eax, 16
        mov [edi + 6], ax
        add edi, 8
        inc ecx
        jmp .loop
.end:
        ret

; Prepare everything, then do the operation.
one:
        mov [saved_esp], esp
        mov esi, gdt_image
        mov edi, GDT
        mov ecx, (gdt_end - gdt_image) / 4
        rep movsd
        mov esi, tss_main_image
        mov edi, TSS_MAIN
        mov ecx, 0x300 / 4
        rep movsd
        mov ax, MAIN
        ltr ax
        xor eax, eax
        lldt ax
        mov edi, record
        mov ecx, RECORD / 4
        rep stosd
        ; the gate at vector 90h, and that of #UD
        mov eax, [op]
        mov ecx, [operations + eax * 8 + 4]
        movzx edx, ch                   ; type of the gate
        shl edx, 8
        mov eax, [selector]
        shl eax, 16
        mov ax, LANDING
        mov [IDT + 0x90 * 8], eax
        mov [IDT + 0x90 * 8 + 4], edx
        mov ebx, [IDT + 6 * 8]
        mov [ud_gate], ebx
        mov ebx, [IDT + 6 * 8 + 4]
        mov [ud_gate + 4], ebx
        test cl, 2
        jz .no_ud
        mov [IDT + 6 * 8], eax
        mov [IDT + 6 * 8 + 4], edx
.no_ud:
        mov ax, DATA0
        mov fs, ax
        mov ax, DATA3
        mov gs, ax
        mov ebx, [op]
        mov edx, [operations + ebx * 8]
        mov ebp, [selector]
        xor esi, esi
        xor edi, edi
        xor ecx, ecx
        cmp dword [level], 3
        je .outer
        push dword 2
        popfd
        mov eax, ebp
        jmp edx
.outer:
        mov ax, DATA3
        mov ds, ax
        mov es, ax
        push dword DATA3
        push dword STACK3
        push dword 2
        push dword CODE3
        push edx
        mov eax, ebp
        iretd

; All exceptions, and vector 80h, come here; the stack has vector and error code.
%assign vector 0
%rep 32
stub_ %+ vector:
%if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17
%else
        push dword 0xdead
%endif
        push dword vector
        jmp received
%assign vector vector + 1
%endrep
stub_80:
        push dword 0xdead
        push dword 0x80
received:
        push ds
        push es
        push eax
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        pop eax
        mov [record + 8], eax
        mov [record + 12], ecx
        mov [record + 16], edx
        mov [record + 20], esi
        mov [record + 24], edi
        mov [record + 28], ebp
        pop eax
        mov [record + 48], ax           ; es
        pop eax
        mov [record + 50], ax           ; ds
        mov [record + 52], fs
        mov [record + 54], gs
        pop eax
        mov [record + 4], al
        pop eax
        mov [record + 6], ax
        pop eax
        mov [record + 32], eax          ; eip
        pop eax
        mov [record + 36], eax          ; cs
        pop eax
        mov [record + 40], eax          ; eflags
        mov [record + 44], sp
        str [record + 56]
        sldt [record + 58]
        mov eax, [selector]
        mov [record + 2], ax
        mov al, [op]
        mov [record], al
        mov al, [level]
        mov [record + 1], al
        mov eax, [selector]
        and eax, ~7
        mov eax, [GDT + eax + 4]
        mov [record + 60], eax
        mov ax, [TSS_32]
        shl eax, 16
        mov ax, [TSS_16]
        mov [record + 64], eax
        ; back to where all was well
        mov ax, DATA0
        mov ss, ax
        mov esp, [saved_esp]
        push dword 2
        popfd
        clts
        mov ebx, [ud_gate]
        mov [IDT + 6 * 8], ebx
        mov ebx, [ud_gate + 4]
        mov [IDT + 6 * 8 + 4], ebx
        mov esi, record
        mov ecx, RECORD
        mov dx, DEBUG_PORT
        rep outsb
        ret

landing_code:                           ; ESP may have ones in its upper half on a 16-bit stack
        movzx ebp, sp
        mov eax, [ss:ebp]
        mov ecx, [ss:ebp + 4]
        mov edx, [ss:ebp + 8]
        mov esi, [ss:ebp + 12]
        mov edi, [ss:ebp + 16]
        int 0x80
landing_end:

; -- the operations: eax is the selector --------------------------------------------------------

%macro OPERATION 3                      ; name, 1: CPL 0 only; 2: #UD's gate too; type of a gate
        dd %1, (%2) | (%3) << 8
%endmacro

operations:
        OPERATION op_mov_ds, 0, 0
        OPERATION op_mov_ss, 0, 0
        OPERATION op_pop_fs, 0, 0
        OPERATION op_les, 0, 0
        OPERATION op_lar, 0, 0
        OPERATION op_lsl, 0, 0
        OPERATION op_verr, 0, 0
        OPERATION op_verw, 0, 0
        OPERATION op_lldt, 0, 0
        OPERATION op_ltr, 0, 0
        OPERATION op_jmp, 0, 0
        OPERATION op_call, 0, 0
        OPERATION op_call_word, 0, 0
        OPERATION op_retf, 0, 0
        OPERATION op_iret, 0, 0
        OPERATION op_int, 0, 0xee
        OPERATION op_int, 0, 0xef
        OPERATION op_int, 0, 0xe6
        OPERATION op_int, 0, 0xe5
        OPERATION op_int, 0, 0x8e
        OPERATION op_int, 0, 0x6e
        OPERATION op_ud, 2, 0x8e
        OPERATION op_ud, 2, 0xef
        OPERATION op_ud, 2, 0x85
        OPERATION op_read, 0, 0
        OPERATION op_write, 0, 0
        OPERATION op_arpl, 0, 0
        dd 0, 0

op_mov_ds:
        mov ds, ax
        int 0x80
op_mov_ss:
        mov ss, ax
        int 0x80
op_pop_fs:
        push eax
        pop fs
        int 0x80
op_les:
        sub esp, 8
        mov dword [esp], 0x12345678
        mov [esp + 4], ax
        les esi, [esp]
        int 0x80
op_lar:
        mov ecx, 0x55555555
        lar ecx, ax
        pushfd
        pop edx
        int 0x80
op_lsl:
        mov ecx, 0x55555555
        lsl ecx, ax
        pushfd
        pop edx
        int 0x80
op_verr:
        verr ax
        pushfd
        pop edx
        int 0x80
op_verw:
        verw ax
        pushfd
        pop edx
        int 0x80
op_lldt:
        lldt ax
        int 0x80
op_ltr:
        ltr ax
        int 0x80
op_jmp:
        sub esp, 8
        mov dword [esp], LANDING
        mov [esp + 4], ax
        jmp far [esp]
op_call:
        push dword 0x11111111
        push dword 0x22222222
        sub esp, 8
        mov dword [esp], LANDING
        mov [esp + 4], ax
        call far [esp]
        int 0x80
op_call_word:
        sub esp, 8
        mov word [esp], LANDING
        mov [esp + 2], ax
        o16 call far [esp]
        int 0x80
op_retf:
        push dword DATA3
        push dword STACK3
        push dword 0x1111
        push eax
        push dword LANDING
        retf 4
op_iret:
        push dword DATA3
        push dword STACK3
        push dword 0x247 | 0x3000       ; with IF and IOPL
        push eax
        push dword LANDING
        iretd
op_int:
        int 0x90
        int 0x80
op_ud:
        ud2
        int 0x80
op_read:
        mov es, ax
        mov eax, [es:LANDING]
        int 0x80
op_write:
        mov es, ax
        mov [es:0x5f0], eax
        int 0x80
op_arpl:
        mov ecx, 2
        arpl cx, ax
        pushfd
        pop edx
        int 0x80

; -- data ------------------------------------------------------------------------------------------

RECORD equ 68
align 4
op      dd 0
level   dd 0
sel     dd 0
rpl_index dd 0
selector dd 0
saved_esp dd 0
ud_gate dd 0, 0
record  times RECORD db 0

align 4
stub_table:
%assign vector 0
%rep 32
        dd stub_ %+ vector
%assign vector vector + 1
%endrep

gdt_pointer:
        dw gdt_end - gdt_image - 1
        dd GDT
idt_pointer:
        dw 0x91 * 8 - 1
        dd IDT

align 8
gdt_image:
        dq 0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xc0       ; 08 code
        DESCRIPTOR 0, 0xfffff, 0x93, 0xc0       ; 10 data
        DESCRIPTOR 0, 0xfffff, 0xfb, 0xc0       ; 18 code, DPL 3
        DESCRIPTOR 0, 0xfffff, 0xf3, 0xc0       ; 20 data, DPL 3
        DESCRIPTOR TSS_MAIN, 0x67, 0x89, 0      ; 28
        DESCRIPTOR TSS_32, 0x67, 0x89, 0        ; 30
        DESCRIPTOR 0, 0xffff, 0x93, 0           ; 38
%assign dpl 0
%rep 4
%assign type 0x10
%rep 8
        DESCRIPTOR 0, ((type & 12) != 4) * 0xfffff, 0x80 | dpl << 5 | type, 0xc0
        DESCRIPTOR 0, ((type & 12) != 4) * 0xfffff, dpl << 5 | type, 0xc0
%assign type type + 2
%endrep
%assign dpl dpl + 1
%endrep
%macro SYSTEM 2                         ; type, DPL and P
%if (%1) = 4
        dw LANDING, CODE0, (%2 | %1) << 8 | 1, 0
%elif (%1) = 12
        dw LANDING, CODE0, (%2 | %1) << 8 | 2, 0
%elif (%1) = 5
        dw 0, TASK32, (%2 | %1) << 8, 0
%elif (%1) = 2
        DESCRIPTOR LDT_PLACE, 0x1f, %2 | %1, 0
%elif (%1) = 1 || (%1) = 3
        DESCRIPTOR TSS_16, 0x2b, %2 | %1, 0
%elif (%1) = 9 || (%1) = 11
        DESCRIPTOR TSS_32, 0x67, %2 | %1, 0
%else
        dw LANDING, CODE0, (%2 | %1) << 8, 0
%endif
%endmacro
%assign type 0
%rep 16
        SYSTEM type, 0x80
        SYSTEM type, 0xe0
        SYSTEM type, 0x60
%assign type type + 1
%endrep
        ; call gates to other places: no segment, data, conforming code, nothing
        dw LANDING, 0, 0xec00, 0
        dw LANDING, DATA0, 0xec00, 0
        dw LANDING, CODE3, 0xec00, 0
        dw LANDING, 0x7f8, 0xec00, 0
        DESCRIPTOR TSS_32, 0x66, 0x89, 0        ; too small
        DESCRIPTOR TSS_16, 0x2a, 0xe1, 0
gdt_end:

align 4
tss_main_image:
        dd 0, STACK_INNER, DATA0, STACK_INNER, DATA0 | 1, STACK_INNER, DATA0 | 2
        times 0x68 - ($ - tss_main_image) db 0
        times 0x100 - ($ - tss_main_image) db 0
tss_32_image:
        dd 0x28, 0x4800, DATA0, 0, 0, 0, 0, 0, LANDING, 2
        dd 1, 2, 3, 4, STACK_TASK, 5, 6, 7
        dd DATA0, CODE0, DATA0, DATA0, DATA3, 0, 0, 0
        times 0x200 - ($ - tss_main_image) db 0
tss_16_image:
        dw 0x28, 0x4800, DATA0, 0, 0, 0, 0, LANDING, 2
        dw 1, 2, 3, 4, STACK_TASK, 5, 6, 7
        dw DATA0, CODE0, DATA16, DATA0, 0
        times 0x300 - ($ - tss_main_image) db 0

ROM_END

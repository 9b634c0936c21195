; Accesses at CPL 3 through segments of all kinds, at offsets around their limits.  Of each, four
; bytes are sent: the operation, the segment's number, the vector (80h: none) and the error code.

%include "rom.inc"

IDT equ 0x2000
TSS equ 0x3000
STACK0 equ 0x5000
STACK_INNER equ 0x5800
STACK3 equ 0x6000
BASE equ 0x20000

CODE0 equ 0x08
DATA0 equ 0x10
CODE3 equ 0x1b
DATA3 equ 0x23
TSS_SELECTOR equ 0x28
FIRST equ 0x30

bits 16
entry:
        mov ax, 0x1000
        mov ds, ax
        o32 lgdt [gdt_pointer - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE0:start32

bits 32
start32:
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK0
        lidt [idt_pointer]
        fninit
        mov edi, IDT
        xor ecx, ecx
.gates:
        mov eax, stub_80
        mov dx, 0xee00
        cmp ecx, 32
        jae .known
        mov eax, [stub_table + ecx * 4]
        mov dx, 0x8e00
.known:
        mov [edi], ax
        mov word [edi + 2], CODE0
        mov [edi + 4], dx
        shr eax, 16
        mov [edi + 6], ax
        add edi, 8
        inc ecx
        cmp ecx, 0x81
        jb .gates
        mov dword [TSS + 4], STACK_INNER
        mov dword [TSS + 8], DATA0
        mov ax, TSS_SELECTOR
        ltr ax
next:
        mov ebx, [offset_index]
        mov edi, [offsets + ebx * 4]
        mov ebx, [which]
        lea ebx, [FIRST + 3 + ebx * 8]
        mov edx, [op]
        mov edx, [operations + edx * 4]
        mov eax, DATA3
        mov ds, ax
        mov es, ax
        push dword DATA3
        push dword STACK3
        push dword 2
        push dword CODE3
        push edx
        xor esi, esi
        mov ecx, 1
        xor eax, eax
        iretd

%assign vector 0
%rep 32
stub_ %+ vector:
%if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17
%else
        push dword 0
%endif
        push dword vector
        jmp received
%assign vector vector + 1
%endrep
stub_80:
        push dword 0
        push dword 0x80
received:
        cld
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        pop eax
        pop ecx
        mov esp, STACK0
        mov dx, DEBUG_PORT
        mov ebx, eax
        mov al, [op]
        out dx, al
        mov al, [which]
        out dx, al
        mov al, bl
        out dx, al
        mov al, cl
        out dx, al
        fninit
        inc dword [offset_index]
        cmp dword [offset_index], OFFSETS
        jb next
        mov dword [offset_index], 0
        inc dword [which]
        cmp dword [which], SEGMENTS
        jb next
        mov dword [which], 0
        inc dword [op]
        cmp dword [op], OPERATIONS
        jb next
        FINISH

operations:
        dd read_1, read_2, read_4, read_10, write_1, write_4, write_10, change_4, locked_4
        dd string_1, stack_read_4, push_4, pop_2
OPERATIONS equ ($ - operations) / 4

%macro THROUGH_ES 1+
        mov es, bx
        %1
        int 0x80
%endmacro
read_1: THROUGH_ES mov al, [es:edi]
read_2: THROUGH_ES mov ax, [es:edi]
read_4: THROUGH_ES mov eax, [es:edi]
read_10: THROUGH_ES fld tword [es:edi]
write_1: THROUGH_ES mov [es:edi], al
write_4: THROUGH_ES mov [es:edi], eax
write_10:
        fldz
        THROUGH_ES fstp tword [es:edi]
change_4: THROUGH_ES add [es:edi], eax
locked_4: THROUGH_ES lock xadd [es:edi], eax
string_1:
        mov esi, STACK3
        THROUGH_ES rep movsb
stack_read_4:
        mov ss, bx
        mov eax, [ss:edi]
        int 0x80
push_4:
        mov ss, bx
        lea esp, [edi + 4]
        push eax
        int 0x80
pop_2:
        mov ss, bx
        mov esp, edi
        o16 pop ax
        int 0x80

align 4
op      dd 0
which   dd 0
offset_index dd 0
offsets:
        dd 0, 1, 0xff6, 0xffc, 0xffd, 0xffe, 0xfff, 0x1000, 0x1001
        dd 0x122a, 0x122b, 0x122c, 0x1230, 0x1231, 0x1232, 0x1233, 0x1234, 0x1235
        dd 0xfff6, 0xfff7, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0x10000
        dd 0xfffffff6, 0xfffffffc, 0xfffffffd, 0xfffffffe, 0xffffffff
OFFSETS equ ($ - offsets) / 4
stub_table:
%assign vector 0
%rep 32
        dd stub_ %+ vector
%assign vector vector + 1
%endrep
gdt_pointer:
        dw gdt_end - gdt - 1
        dd gdt
idt_pointer:
        dw 0x81 * 8 - 1
        dd IDT
align 8
gdt:
        dq 0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xc0
        DESCRIPTOR 0, 0xfffff, 0x93, 0xc0
        DESCRIPTOR 0, 0xfffff, 0xfb, 0xc0
        DESCRIPTOR 0, 0xfffff, 0xf3, 0xc0
        DESCRIPTOR TSS, 0x67, 0x89, 0
        ; those to be tried, as in test_limits.py
        DESCRIPTOR BASE, 0x1234, 0xf3, 0x40
        DESCRIPTOR BASE, 0x1234, 0xf1, 0x40
        DESCRIPTOR BASE, 0x1234, 0xfb, 0x40
        DESCRIPTOR BASE, 0x1234, 0xf9, 0x40
        DESCRIPTOR BASE, 0x00000, 0xf3, 0xc0
        DESCRIPTOR BASE, 0xfffff, 0xf3, 0xc0
        DESCRIPTOR BASE, 0x0fff, 0xf7, 0x40
        DESCRIPTOR BASE, 0x0fff, 0xf7, 0x00
        DESCRIPTOR BASE, 0x0fff, 0xf5, 0x40
        DESCRIPTOR BASE, 0xffff, 0xf3, 0x00
SEGMENTS equ ($ - gdt - FIRST) / 8
gdt_end:

ROM_END

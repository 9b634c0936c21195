; 16-bit code in five environments: real mode, virtual-8086 mode with IOPL 0 and with IOPL 3,
; 16-bit protected mode at CPL 0 and at CPL 3.  For each operation of ops16.inc a record is sent.

%include "rom.inc"

IDT equ 0x2000
TSS equ 0x3000
STACK0 equ 0x5000
STACK_INNER equ 0x5800
STACK16 equ 0xf000

CODE0 equ 0x08
DATA0 equ 0x10
TSS_SELECTOR equ 0x18
CODE16 equ 0x20
DATA16 equ 0x28
CODE16_3 equ 0x33
DATA16_3 equ 0x3b

bits 16
entry:
        mov ax, 0x1000
        mov ds, ax
        jmp prepare

%include "ops16.inc"

bits 16
prepare:
        ; the table of real mode's interrupts: vectors 0 to 31, 44h and 80h
        xor ax, ax
        mov es, ax
        xor di, di
        mov cx, 0x81
.vectors:
        mov ax, stub16_80 - 0x10000
        cmp di, 32 * 4
        jae .known
        mov bx, di
        shr bx, 1
        mov ax, [table16 - 0x10000 + bx]
.known:
        stosw
        mov ax, 0x1000
        stosw
        loop .vectors
        o32 lgdt [gdt_pointer - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE0:start32

bits 32
start32:
        call flat
        call make_idt
        mov edi, TSS
        mov ecx, 0x68 + 0x2000
        xor eax, eax
        rep stosb
        mov dword [TSS + 4], STACK_INNER
        mov dword [TSS + 8], DATA0
        mov word [TSS + 0x66], 0x68
        mov byte [TSS + 0x68 + 0x284 / 8], 0x30 ; ports 284h and 285h are forbidden,
        mov byte [TSS + 0x68 + 0x288 / 8], 0x01 ; 288h
        mov byte [TSS + 0x68 + 0x400 / 8], 0x01 ; and 400h
        mov ax, TSS_SELECTOR
        ltr ax
next_environment:
        mov dword [op], 0
next_op:
        mov edi, record
        mov ecx, RECORD / 4
        xor eax, eax
        rep stosd
        mov edi, 0x1d000
        mov ecx, 0x40
        rep stosd
        mov ebx, [op]
        movzx edx, word [op_table + ebx * 2]
        mov eax, [environment]
        jmp [environments + eax * 4]
; all environments come back here
recorded:
        mov eax, [environment]
        mov [record], al
        mov eax, [op]
        mov [record + 1], al
        mov esi, record
        mov ecx, RECORD
        mov dx, DEBUG_PORT
        rep outsb
        inc dword [op]
        cmp dword [op], OPS
        jb next_op
        inc dword [environment]
        cmp dword [environment], ENVIRONMENTS
        jb next_environment
        FINISH

; Flat segments and a stack; called with any stack.
flat:
        pop edx
        mov ax, DATA0
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, STACK0
        lidt [idt_pointer]
        jmp edx

make_idt:
        mov edi, IDT
        xor ecx, ecx
.loop:
        mov eax, stub_80
        mov dx, 0xee00
        cmp ecx, 32
        jae .known
        mov eax, [stub_table + ecx * 4]
        mov dx, 0x8e00
        cmp ecx, 3
        je .open
        cmp ecx, 4
        jne .known
.open:
        mov dx, 0xee00
.known:
        mov [edi], ax
        mov word [edi + 2], CODE0
        mov [edi + 4], dx
        shr eax, 16
        mov [edi + 6], ax
        add edi, 8
        inc ecx
        cmp ecx, 0x81
        jb .loop
        ret

environments:
        dd go_real, go_virtual_0, go_virtual_3, go_protected_0, go_protected_3
ENVIRONMENTS equ 5

%macro CLEAR_REGISTERS 0
        mov eax, 0xa0a0a0a0
        mov ecx, 0xc0c0c0c0
        mov ebx, 0xb0b0b0b0
        mov ebp, 0xbbbbbbbb
        mov esi, 0x51515151
        mov edi, 0xd1d1d1d1
%endmacro

go_virtual_0:
        mov ecx, 0x20002
        jmp go_virtual
go_virtual_3:
        mov ecx, 0x23002
go_virtual:
        mov eax, 0x1000
        push eax
        push eax
        push eax
        push eax
        push eax
        push dword STACK16
        push ecx
        push eax
        push edx
        CLEAR_REGISTERS
        iretd

go_protected_3:
        mov ax, DATA16_3
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        push dword DATA16_3
        push dword STACK16
        push dword 2
        push dword CODE16_3
        push edx
        CLEAR_REGISTERS
        iretd

go_protected_0:
        mov ax, DATA16
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, STACK16
        push dword CODE16
        push edx
        push dword 2
        popfd
        CLEAR_REGISTERS
        retf

go_real:
        mov [target16], dx
        lidt [real_idt_pointer]
        jmp CODE16:.narrow - 0x10000
bits 16
.narrow:
        mov ax, DATA16
        mov ss, ax
        mov ds, ax
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0x1000:.real - 0x10000
.real:
        mov ax, 0x1000
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, STACK16
        push dword 2
        popfd
        CLEAR_REGISTERS
        jmp [cs:target16 - 0x10000]

; -- exceptions in real mode -----------------------------------------------------------------------

%assign vector 0
%rep 32
stub16_ %+ vector:
        push word vector
        jmp received16
%assign vector vector + 1
%endrep
stub16_80:
        push word 0x80
received16:
        cli
        mov [cs:record - 0x10000 + 8], eax
        mov [cs:record - 0x10000 + 12], ecx
        mov [cs:record - 0x10000 + 16], edx
        mov [cs:record - 0x10000 + 20], ebx
        mov [cs:record - 0x10000 + 24], ebp
        mov [cs:record - 0x10000 + 28], esi
        mov [cs:record - 0x10000 + 32], edi
        mov [cs:record - 0x10000 + 60], es
        mov [cs:record - 0x10000 + 62], ds
        mov [cs:record - 0x10000 + 64], fs
        mov [cs:record - 0x10000 + 66], gs
        mov [cs:record - 0x10000 + 56], ss
        pop ax
        mov [cs:record - 0x10000 + 2], al
        pop ax
        mov [cs:record - 0x10000 + 36], ax
        pop ax
        mov [cs:record - 0x10000 + 40], ax
        pop ax
        mov [cs:record - 0x10000 + 44], ax
        mov [cs:record - 0x10000 + 48], esp
        cld
        o32 lgdt [cs:gdt_pointer - 0x10000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE0:.flat
bits 32
.flat:
        call flat
        jmp recorded

; -- exceptions in protected mode ------------------------------------------------------------------

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
        cld
        push gs
        push fs
        push ds
        push es
        push eax
        mov ax, DATA0
        mov ds, ax
        pop eax
        mov [record + 8], eax
        mov [record + 12], ecx
        mov [record + 16], edx
        mov [record + 20], ebx
        mov [record + 24], ebp
        mov [record + 28], esi
        mov [record + 32], edi
        pop eax
        mov [record + 60], ax
        pop eax
        mov [record + 62], ax
        pop eax
        mov [record + 64], ax
        pop eax
        mov [record + 66], ax
        mov [record + 56], ss
        pop eax
        mov [record + 2], al
        pop eax
        mov [record + 4], ax
        pop dword [record + 36]
        pop dword [record + 40]
        pop dword [record + 44]
        mov [record + 48], esp
        mov eax, [record + 44]
        test eax, 0x20000
        jnz .outer
        test byte [record + 40], 3
        jz .same
.outer:
        pop dword [record + 48]
        pop dword [record + 56]
        test eax, 0x20000
        jz .same
        pop eax
        mov [record + 60], ax
        pop eax
        mov [record + 62], ax
        pop eax
        mov [record + 64], ax
        pop eax
        mov [record + 66], ax
        mov [record + 52], esp
.same:
        call flat
        push dword 2
        popfd
        clts
        jmp recorded

; -- data ------------------------------------------------------------------------------------------

RECORD equ 68
align 4
op      dd 0
environment dd 0
target16 dd 0
record  times RECORD db 0
table16:
%assign vector 0
%rep 32
        dw stub16_ %+ vector - 0x10000
%assign vector vector + 1
%endrep
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
real_idt_pointer:
        dw 0x3ff
        dd 0
align 8
gdt:
        dq 0
        DESCRIPTOR 0, 0xfffff, 0x9b, 0xc0
        DESCRIPTOR 0, 0xfffff, 0x93, 0xc0
        DESCRIPTOR TSS, 0x68 + 0x82, 0x89, 0    ; the map ends with port 40fh
        DESCRIPTOR 0x10000, 0xffff, 0x9b, 0
        DESCRIPTOR 0x10000, 0xffff, 0x93, 0
        DESCRIPTOR 0x10000, 0xffff, 0xfb, 0
        DESCRIPTOR 0x10000, 0xffff, 0xf3, 0
gdt_end:

ROM_END

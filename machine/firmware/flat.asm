; Into 32-bit protected mode without paging, for Multiboot kernels. Copied to 0:0600 by whoever boots;
; the numbers in the first lines are filled in.

        cpu 386
        bits 16
        org 0x600

start:
        jmp short go
        align 4, db 0
entry:  dd 0                            ; where to go
magic:  dd 0                            ; EAX
info:   dd 0                            ; EBX
        align 8, db 0
gdt:    dq 0
        dq 0x00CF9B000000FFFF
        dq 0x00CF93000000FFFF
gdt_register:
        dw 23
        dd gdt
go:
        cli
        lgdt [cs:gdt_register]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 0x08:flat
        bits 32
flat:
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, 0x7000
        mov eax, [magic]
        mov ebx, [info]
        jmp [entry]

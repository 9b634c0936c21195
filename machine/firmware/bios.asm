; What of the embedded BIOS runs on the guest's processor: entries that trap to Python by OUT, and the
; handlers of hardware interrupts. machine/firmware/bios.lst is its listing (tests/machine/firmware/
; test_rom.py makes it anew), from which the ROM is built; nobody needs an assembler to run.
;
; A service answers in the registers. Of the flags CF and ZF go to the caller; OF says: not yet, so
; that interrupts are let in and the service is asked once more.

        cpu 386
        bits 16
        org 0xD000

VIDEO   equ 0xB4                ; INT 10h
DISK    equ 0xB5                ; INT 13h
SERIAL  equ 0xB6                ; INT 14h
SYSTEM  equ 0xB7                ; INT 15h
KEYS    equ 0xB8                ; INT 16h
PRINTER equ 0xB9                ; INT 17h
TIME    equ 0xBA                ; INT 1Ah
CONTROL equ 0xBB                ; AL says what
BIOS32  equ 0xBC                ; 32-bit service directory
PCI32   equ 0xBD                ; 32-bit PCI BIOS

DO_POST equ 0                   ; power-on self test
DO_KEY  equ 1                   ; AH: scan code
DO_ALARM equ 2                  ; IRQ8
DO_POINTER equ 3                ; IRQ12
DO_BOOT equ 4
DO_ROMS equ 5                   ; BX: look for an option ROM from this segment on
DO_NEXT equ 7                   ; boot from what comes next

; ---------------------------------------------------------------------------------- services

int10:
        out VIDEO, al
finish:                                 ; CF and ZF into the flags that IRET takes
        push bp
        mov bp, sp
        push ax
        lahf
        and ah, 0x41
        and byte [bp + 6], 0xBE
        or [bp + 6], ah
        pop ax
        pop bp
        iret
int13:
        out DISK, al
        jmp short finish
int14:
        out SERIAL, al
        jmp short finish
int15:
        out SYSTEM, al
        jno finish
        sti
        hlt
        jmp short int15
int16:
        out KEYS, al
        jno finish
        sti
        hlt
        jmp short int16
int17:
        out PRINTER, al
        jmp short finish
int1a:
        out TIME, al
        jmp short finish
int11:                                  ; equipment
        push ds
        xor ax, ax
        mov ds, ax
        mov ax, [0x410]
        pop ds
        iret
int12:                                  ; kilobytes of conventional memory
        push ds
        xor ax, ax
        mov ds, ax
        mov ax, [0x413]
        pop ds
        iret

; ------------------------------------------------------------------------ start and boot

post:
        cli
        cld
        mov al, 0x8F                    ; why we are here: CMOS shutdown status
        out 0x70, al
        in al, 0x71
        mov ah, al
        mov al, 0x0F
        out 0x70, al
        xor al, al
        out 0x71, al
        mov bx, ax
        xor ax, ax
        mov ds, ax
        cmp bh, 0x05
        je resume_eoi
        cmp bh, 0x0A
        je resume
        mov ss, ax
        mov sp, 0x7000
        mov al, DO_POST
        out CONTROL, al
        sti
        mov bx, 0xC800                  ; option ROMs
next_rom:
        mov al, DO_ROMS                 ; BX: the next one's segment, or 0
        out CONTROL, al
        test bx, bx
        jz int19
        push bx
        push cs
        push word rom_returns
        push bx
        push word 3
        retf
rom_returns:
        pop bx
        add bx, 0x80
        jmp short next_rom
resume_eoi:
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
resume:
        jmp far [0x467]

int19:
        mov bl, DO_BOOT
        jmp short boot
int18:                                  ; this one did not boot
        mov bl, DO_NEXT
boot:
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        mov al, bl
        jmp short boot_trap
boot_again:
        mov al, DO_NEXT
boot_trap:
        out CONTROL, al
        jo boot_waits
        mov ds, ax                      ; AX: data and stack, BP: SP, BX:SI where to go, DL drive
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, bp
        push bx
        push si
        sti
        retf
boot_waits:
        sti
        hlt
        jmp short boot_again

; ----------------------------------------------------------------- hardware interrupts

int08:                                  ; IRQ0: the tick, 18.2 a second
        push ds
        push ax
        xor ax, ax
        mov ds, ax
        inc dword [0x46C]
        cmp dword [0x46C], 0x1800B0
        jb same_day
        mov dword [0x46C], 0
        inc byte [0x470]
same_day:
        cmp byte [0x440], 0             ; until the floppy's motor stops
        je no_motor
        dec byte [0x440]
        jnz no_motor
        and byte [0x43F], 0xF0
        push dx
        mov dx, 0x3F2
        mov al, 0x0C
        out dx, al
        pop dx
no_motor:
        int 0x1C
        cli
        mov al, 0x20
        out 0x20, al
        pop ax
        pop ds
        iret

int09:                                  ; IRQ1: a byte of the keyboard
        push ax
        in al, 0x60
        mov ah, 0x4F                    ; others may change it or keep it
        stc
        int 0x15
        jnc key_done
        mov ah, al
        mov al, DO_KEY
        out CONTROL, al
        cmp al, 1
        je key_break
        cmp al, 2
        je key_print
        cmp al, 3
        je key_system
key_done:
        cli
        mov al, 0x20
        out 0x20, al
        pop ax
        iret
key_break:
        mov al, 0x20
        out 0x20, al
        int 0x1B
        pop ax
        iret
key_print:
        mov al, 0x20
        out 0x20, al
        int 0x05
        pop ax
        iret
key_system:                             ; AH: 0 pressed, 1 let go
        mov al, 0x20
        out 0x20, al
        mov al, ah
        mov ah, 0x85
        sti
        int 0x15
        pop ax
        iret

int70:                                  ; IRQ8: real-time clock
        push ax
        mov al, DO_ALARM
        out CONTROL, al
        cmp al, 1
        jne eoi_both
        int 0x4A                        ; the alarm
        cli
eoi_both:
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
        pop ax
        iret

int71:                                  ; IRQ9 stands for IRQ2
        push ax
        mov al, 0x20
        out 0xA0, al
        pop ax
        int 0x0A
        iret

int74:                                  ; IRQ12: a byte of the mouse
        push ax
        mov al, DO_POINTER
        out CONTROL, al                 ; AL: 1 if a packet is complete
        cmp al, 1
        jne eoi_both
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
        push ds
        push es
        pushad
        xor ax, ax
        mov ds, ax
        mov ds, [0x40E]                 ; EBDA: handler at 22h, packet at 28h
        push word [0x28]
        push word [0x2A]
        push word [0x2C]
        push word 0
        call far [0x22]
        add sp, 8
        popad
        pop es
        pop ds
        pop ax
        iret

int75:                                  ; IRQ13: coprocessor
        push ax
        xor al, al
        out 0xF0, al
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
        pop ax
        int 0x02
        iret

int76:                                  ; IRQ14 and IRQ15: a disk is ready
        push ax
        push ds
        xor ax, ax
        mov ds, ax
        mov byte [0x48E], 0xFF
        pop ds
        jmp short eoi_both

int0e:                                  ; IRQ6: a floppy is ready
        push ax
        push ds
        xor ax, ax
        mov ds, ax
        or byte [0x43E], 0x80
        pop ds
        jmp short eoi_first

ignored_first:                          ; nobody's interrupts
        push ax
eoi_first:
        mov al, 0x20
        out 0x20, al
        pop ax
        iret
ignored_second:
        push ax
        jmp short eoi_both

nothing:
        iret

; ------------------------------------------------------------------- 32-bit entries

        bits 32
bios32:                                 ; EAX: service; AL, EBX, ECX, EDX answer
        out BIOS32, al
        retf
pci32:
        out PCI32, al
        retf

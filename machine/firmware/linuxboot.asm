; The option ROM by which another BIOS boots -kernel: a PnP header with a bootstrap entry vector, which
; asks the emulator to load the kernel and goes there. Checksums are filled in by Python.

        cpu 386
        bits 16
        org 0

CONTROL equ 0xBB
DO_BOOT_KERNEL equ 6

header:
        dw 0xAA55
        db 1                            ; times 512 bytes
        jmp near initialise
        times 0x18 - ($ - header) db 0
        dw 0
        dw pnp
        align 16, db 0
pnp:
        db "$PnP"
        db 1, 2                         ; version, length in 16 bytes
        dw 0                            ; no next header
        db 0
checksum_of_pnp:
        db 0
        dd 0                            ; device identifier
        dw maker, product
        db 2, 0x80, 0                   ; class: memory, other
        db 0xE4                         ; initial program load device
        dw 0, 0
        dw boot                         ; bootstrap entry vector
        dw 0, 0
maker:
        db "qemupy", 0
product:
        db "Kernel given by -kernel", 0
initialise:
        mov ax, 0x20                    ; an IPL device is attached
        retf
boot:
        cli
        mov al, DO_BOOT_KERNEL
        jmp short trap
trap:
        out CONTROL, al
        mov ds, ax                      ; as after INT 19h of our own BIOS
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, bp
        push bx
        push si
        retf

; Boot sector: makes the calls of a table at 0:8000 and writes what comes back to port E9h.
; An entry: vector, 0, AX, BX, CX, DX, SI, DI, BP, ES; vector FFh ends.
        bits 16
        org 0x7C00
        jmp 0:start
start:
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        mov dl, [drive]
        mov ax, 0x0208                  ; the table: sectors 2 to 9
        mov bx, 0x8000
        mov cx, 2
        xor dx, dx
        int 0x13
        mov bx, 0x8000
next:
        mov al, [bx]
        cmp al, 0xFF
        je done
        mov [vector], al
        jmp short flush
flush:
        push bx
        mov si, [bx + 10]
        mov di, [bx + 12]
        mov bp, [bx + 14]
        mov es, [bx + 16]
        mov dx, [bx + 8]
        mov cx, [bx + 6]
        push word [bx + 4]
        mov ax, [bx + 2]
        pop bx
        and dword [esp], 0xFFFF         ; (nothing)
        clc
        db 0xCD
vector: db 0
        pushf
        push es
        push bp
        push di
        push si
        push dx
        push cx
        push bx
        push ax
        xor ax, ax
        mov ds, ax
        mov cx, 18
        mov si, sp
        mov dx, 0xE9
send:
        lodsb
        out dx, al
        loop send
        add sp, 18
        pop bx
        add bx, 18
        jmp next
done:
        mov dx, 0xF4
        mov al, 0
        out dx, al
stop:
        hlt
        jmp stop
drive:  db 0
        times 510 - ($ - $$) db 0
        dw 0xAA55

# The demonstration disk of a PC: a boot sector that loads what follows it, which shows what machine
# it is on, goes to protected mode to draw the Mandelbrot set with the x87, comes back to real mode,
# and waits for a key. Escape switches the machine off, any other key draws the next picture.
# AT&T syntax; assembled and linked to 7C00h by `python -m demo.disk_image`.

        .set    SECTORS, 15             # that follow the boot sector
        .set    CODE32, 0x08
        .set    DATA32, 0x10
        .set    CODE16, 0x18
        .set    DATA16, 0x20
        .set    FIRST_ROW, 6
        .set    ROWS, 17
        .set    MOST, 400               # iterations of a point

        .code16
start:  cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7C00, %sp
        sti
        cld
        movb    %dl, drive
        movw    $packet, %si
        movb    $0x42, %ah              # extended read
        int     $0x13
        jnc     main
        movw    $failed, %si
        call    print
stop:   hlt
        jmp     stop

# Print the text at DS:SI by the BIOS.
print:  lodsb
        testb   %al, %al
        jz      1f
        movb    $0x0E, %ah
        movw    $0x0007, %bx
        int     $0x10
        jmp     print
1:      ret

drive:  .byte   0
packet: .byte   16, 0
        .word   SECTORS, 0x7E00, 0
        .quad   1
failed: .asciz  "The disk cannot be read.\r\n"

        .org    510
        .word   0xAA55

# -- the second part -------------------------------------------------------------------------------

main:   movw    $0x0003, %ax            # 80 columns, 25 rows
        int     $0x10
        movw    $title, %si
        call    print
        call    show_processor
        call    show_memory
        movw    $drawing, %si
        call    print

draw:   cli
        lgdt    gdt_pointer
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmp    $CODE32, $protected

back:   movw    $0x1700, %dx            # the cursor below the picture
        movb    $2, %ah
        xorw    %bx, %bx
        int     $0x10
        movw    $ready, %si
        call    print
        xorb    %ah, %ah                # wait for a key
        int     $0x16
        cmpb    $27, %al
        jne     draw
        call    power_off
        jmp     stop

show_processor:
        movw    $processor, %si
        call    print
        xorl    %eax, %eax
        cpuid
        movl    %ebx, vendor
        movl    %edx, vendor + 4
        movl    %ecx, vendor + 8
        movw    $vendor, %si
        call    print
        movl    $1, %eax
        cpuid
        movw    $with_fpu, %si
        testb   $1, %dl
        jnz     print
        movw    $newline, %si
        jmp     print

# The memory that INT 15h, E820h says is free, in MiB.
show_memory:
        xorl    %ebx, %ebx
        movl    %ebx, total
1:      movl    $0xE820, %eax
        movl    $0x534D4150, %edx
        movl    $20, %ecx
        movw    $range, %di
        int     $0x15
        jc      2f
        cmpl    $1, range + 16
        jne     3f
        movl    range + 8, %eax
        addl    %eax, total
3:      testl   %ebx, %ebx
        jnz     1b
2:      movw    $memory, %si
        call    print
        movl    total, %eax
        addl    $0xFFFFF, %eax          # what the BIOS keeps for itself counts too
        shrl    $20, %eax
        call    print_number
        movw    $megabytes, %si
        jmp     print

# Print EAX in decimal.
print_number:
        movl    $10, %ecx
        xorl    %edx, %edx
        divl    %ecx
        pushw   %dx
        testl   %eax, %eax
        jz      1f
        call    print_number
1:      popw    %ax
        addb    $0x30, %al
        movb    $0x0E, %ah
        movw    $0x0007, %bx
        int     $0x10
        ret

# PMCNTRL of the PIIX4, function 00:01.3, is at PMBASE + 4: sleep type 0 is off.
power_off:
        movl    $0x80000B40, %eax
        movw    $0xCF8, %dx
        outl    %eax, %dx
        movw    $0xCFC, %dx
        inl     %dx, %eax
        andw    $0xFFC0, %ax
        leaw    4(%eax), %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
        ret

# -- protected mode ----------------------------------------------------------------------------------

        .code32
protected:
        movw    $DATA32, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7C00, %esp
        fninit
        movl    $0xB8000 + 160 * FIRST_ROW, %edi
        movl    $0, row
1:      movl    $0, column
2:      call    point
        call    colour
        stosw
        incl    column
        cmpl    $80, column
        jb      2b
        incl    row
        cmpl    $ROWS, row
        jb      1b
        call    zoom
        ljmp    $CODE16, $half

# ECX <- after how many steps of z <- z*z + c the point at row, column is outside; at most MOST.
point:  fildl   column
        fsubs   middle_column
        fmuls   step
        fmuls   aspect
        fadds   centre_x                # cx
        fildl   row
        fsubs   middle_row
        fmuls   step
        fadds   centre_y                # cy, cx
        fldz
        fldz                            # y, x, cy, cx
        xorl    %ecx, %ecx
1:      fld     %st(1)
        fmul    %st(2), %st             # xx, y, x, cy, cx
        fld     %st(1)
        fmul    %st(2), %st             # yy, xx, y, x, cy, cx
        fld     %st(1)
        fadd    %st(1), %st
        fcomps  four                    # xx + yy > 4 ?
        fnstsw  %ax
        testb   $0x45, %ah
        jz      2f
        fsubrp  %st, %st(1)             # xx - yy, y, x, cy, cx
        fadd    %st(4), %st             # new x
        fld     %st(1)
        fmul    %st(3), %st
        fadd    %st, %st(0)
        fadd    %st(4), %st             # new y, new x, y, x, cy, cx
        fstp    %st(2)                  # new x, new y, x, cy, cx
        fstp    %st(2)                  # new y, new x, cy, cx
        incl    %ecx
        cmpl    $MOST, %ecx
        jb      1b
        jmp     3f
2:      fstp    %st
        fstp    %st
3:      fstp    %st
        fstp    %st
        fstp    %st
        fstp    %st
        ret

# AX <- a character with its colour for ECX steps.
colour: movw    $0x0020, %ax
        cmpl    $MOST, %ecx
        je      1f
        andl    $15, %ecx
        movb    colours(%ecx), %ah
        movb    $0xDB, %al
1:      ret

# The next picture shows a part of this one.
zoom:   flds    step
        fmuls   closer
        fstps   step
        ret

        .code16
half:   movw    $DATA16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    %cr0, %eax
        andb    $0xFE, %al
        movl    %eax, %cr0
        ljmp    $0, $real
real:   xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7C00, %sp
        sti
        jmp     back

# -- data ----------------------------------------------------------------------------------------------

title:     .asciz "qemupy: a PC\r\n\r\n"
processor: .asciz "processor "
with_fpu:  .ascii " with an x87"
newline:   .asciz "\r\n"
memory:    .asciz "memory    "
megabytes: .asciz " MiB\r\n"
drawing:   .asciz "the Mandelbrot set, drawn in protected mode:"
ready:     .asciz "Esc switches it off, another key shows it from nearer. "
vendor:    .ascii "............"
           .byte  0

           .balign 8
gdt:       .quad  0
           .quad  0x00CF9A000000FFFF
           .quad  0x00CF92000000FFFF
           .quad  0x00009A000000FFFF
           .quad  0x000092000000FFFF
gdt_pointer:
           .word  gdt_pointer - gdt - 1
           .long  gdt

middle_column: .float 40.0
middle_row:    .float 8.0
aspect:        .float 0.5
step:          .float 0.16
centre_x:      .float -0.7436
centre_y:      .float 0.1318
closer:        .float 0.5
four:          .float 4.0
colours:   .byte  1, 9, 3, 11, 2, 10, 6, 14, 12, 4, 5, 13, 7, 15, 8, 9
row:       .long  0
column:    .long  0
total:     .long  0
range:     .space 24

        .org    512 * (1 + SECTORS)

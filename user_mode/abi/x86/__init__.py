"""What Linux on i386 and on x86-64 share: registers, exceptions, the FPU in signal frames."""

"""The PC's devices: each knows registers, lines and a clock, and no processor or thread."""

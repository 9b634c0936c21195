"""What differs between the ABIs of Linux: numbers, layouts, constants, registers.  Data, mostly."""

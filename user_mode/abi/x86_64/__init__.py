"""Linux on x86-64: so far the ABI of the host."""

"""Linux on x86-64: the ABI of the host, and of guests."""

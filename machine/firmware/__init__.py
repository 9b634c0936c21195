"""Firmware: a BIOS of our own, what another one is told, tables, and kernels given by name."""

"""A Linux process: loader, memory, system calls, signals, threads."""

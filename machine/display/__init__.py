"""Where the guest's screen is seen: the terminal, or files."""

"""Guest ISAs: decode tables and the meaning of their instructions, a folder each."""

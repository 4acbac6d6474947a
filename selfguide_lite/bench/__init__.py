"""How fast is this machine: the engine against the ways in use today, each in a process of its own."""

"""What writes and trains more than once: methods compared, settings searched for, iterations."""

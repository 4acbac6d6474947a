"""What every room may use: errors, files, text, settings. Knows nothing of the rooms above."""

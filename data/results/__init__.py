"""The results table: what is run, what is kept of each run, and docs/results.md made from what is kept."""

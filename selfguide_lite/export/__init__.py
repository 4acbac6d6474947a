"""What leaves the project: adapters, and files for other programs."""

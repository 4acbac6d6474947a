"""Makes constraints.txt, the versions that are installed, with their hashes, and the list of their licences."""

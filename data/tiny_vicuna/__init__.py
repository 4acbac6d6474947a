"""Makes the tiny test model: a small made-up world, tasks about it, and the training of a llama from nothing."""

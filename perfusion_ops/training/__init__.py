"""The training loop and what it reads: a task, its batches, its state, the noise schedule."""

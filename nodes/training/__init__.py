"""A training in the queue: its inputs, its run, its files, its progress."""

"""What the benchmark of official templates makes its page of."""

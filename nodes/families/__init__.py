"""What is particular to a model family, one file each."""

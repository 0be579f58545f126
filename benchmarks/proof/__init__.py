"""The proof of the method in the pixel world: ``python dev.py bench proof``; what it found stands in ../RESULTS.md."""

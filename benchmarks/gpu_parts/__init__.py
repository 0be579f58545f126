"""The parts of ``python dev.py gpu``: each yields rows of one table as it finds them."""

"""The pixel world a second time: a rectified-flow transformer whose text tokens evolve with the picture."""

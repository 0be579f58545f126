"""What Perfusion costs at the sizes users have: models of the true shapes, random weights, the host's own classes."""

from builders import real_host as host
from builders import true_sizes as models

__all__ = ["host", "models"]

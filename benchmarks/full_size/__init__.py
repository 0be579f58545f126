"""What Perfusion costs at the sizes users have: models of the true shapes, random weights, the host's own classes."""

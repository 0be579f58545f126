"""The proof's questions in the joint world: a value residual in joint attention beside adapters."""

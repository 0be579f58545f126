"""The oracle: the paper's equations, slow, in float64, written literally with Cholesky and QR and Python loops."""

from __future__ import annotations

import numpy as np


def inner(x, y, covariance) -> float:
    """``<x, y> = x^T C^-1 y``, the inner product of the paper's section 4.1."""
    return float(x @ np.linalg.solve(covariance, y))


def gate(similarity: float, bias: float, temperature: float) -> float:
    """eq. 3's sigmoid."""
    return 1.0 / (1.0 + np.exp(-(similarity - bias) / temperature))


def single_concept_output(weight, encoding, target_input, target_output, covariance, bias, temperature):
    """eq. 3: ``h = W (e - <i*, e>/E i*) + gate o*`` for one token (d,) -> (d_out,)."""
    similarity = inner(target_input, encoding, covariance) / inner(target_input, target_input, covariance)
    orthogonal = encoding - similarity * target_input
    return weight @ orthogonal + gate(similarity, bias, temperature) * target_output


def joint_output(weight, encoding, target_inputs, target_outputs, covariance, biases, temperatures):
    """Appendix B: the component orthogonal to all target inputs, by Cholesky of C^-1 and QR, plus the gated outputs."""
    lower = np.linalg.cholesky(np.linalg.inv(covariance))
    basis, _ = np.linalg.qr(np.stack([lower.T @ i for i in target_inputs], axis=1))
    whitened = lower.T @ encoding
    for vector in basis.T:
        whitened = whitened - (vector @ whitened) * vector
    output = weight @ np.linalg.solve(lower.T, whitened)
    for i, o, bias, temperature in zip(target_inputs, target_outputs, biases, temperatures, strict=True):
        similarity = inner(i, encoding, covariance) / inner(i, i, covariance)
        output = output + gate(similarity, bias, temperature) * o
    return output

"""Hosts that turn positions by kernels without a gradient are told apart from those that train."""

from __future__ import annotations

import pytest

from builders.joint_models import joint_model
from builders.older_hosts import skip_without


def kernel(*_given):
    """As the package of kernels has it."""


kernel.__module__ = "comfy_kitchen"


def test_this_host_trains(pack):
    """Every training of these families would be refused, and their tests skipped."""
    skip_without("positions with a gradient")
    pack.rotations.check_rotations("Flux.1")


def test_positions_without_a_gradient_are_refused_before_the_training(pack, monkeypatch):
    """The training would stop at its first step with a sentence about autograd."""
    monkeypatch.setattr(pack.rotations.math, "apply_rope", kernel)
    model = joint_model("flux1")
    with pytest.raises(ValueError, match="computes the positions of Flux.1 by kernels without a gradient"):
        pack.family.family_of(model).check_trainable(model)

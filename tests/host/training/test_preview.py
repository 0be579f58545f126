"""Previews of a training: what they leave on the accelerator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from builders.older_hosts import skip_without


def test_the_hosts_model_leaves_the_accelerator_after_a_preview_even_a_failed_one(pack, monkeypatch):
    """Training has its memory back after each preview; it would otherwise run out of it."""
    asked = []
    monkeypatch.setattr(pack.preview, "make_room", lambda device, keep: asked.append((device, keep)))
    model, clip = SimpleNamespace(load_device=torch.device("cuda")), SimpleNamespace(patcher="text encoders")
    preview = pack.preview.Preview(model, clip, None, "a {}", (8, 8), pack.ops.KeyLocking.LOCAL, 0)
    for drawn in (lambda _self, _concept: torch.ones(8, 8, 3), lambda _self, _concept: 1 / 0):
        monkeypatch.setattr(pack.preview.Preview, "_drawn", drawn)
        try:
            preview.draw(None)
        except ZeroDivisionError:
            asked.append("failed")
    room = (torch.device("cuda"), [model, "text encoders"])
    assert asked == [room, room, "failed"]


def test_the_host_draws_with_its_own_kernels_during_a_training_and_after_it(pack, monkeypatch):
    """A preview would be another picture than the sampler's; the host would stay slow until it is started anew."""
    import comfy.model_management as host

    if not hasattr(host, "in_training"):
        skip_without("switch between kernels with a gradient and without")
    seen = []
    monkeypatch.setattr(pack.preview, "make_room", lambda _device, _keep: None)
    monkeypatch.setattr(pack.preview.Preview, "_drawn", lambda _self, _concept: seen.append(host.in_training))
    model, clip = SimpleNamespace(load_device=torch.device("cpu")), SimpleNamespace(patcher=None)
    with pytest.raises(RuntimeError, match="cancelled"), pack.joint_model.host_in_training(True):
        pack.preview.Preview(model, clip, None, "a {}", (8, 8), pack.ops.KeyLocking.LOCAL, 0).draw(None)
        seen.append(host.in_training)
        raise RuntimeError("cancelled")
    assert [*seen, host.in_training] == [False, True, False]

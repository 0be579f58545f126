"""Previews of a training: what they leave on the accelerator."""

from __future__ import annotations

from types import SimpleNamespace

import torch


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

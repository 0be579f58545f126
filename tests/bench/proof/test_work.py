"""Results that were computed before."""

from __future__ import annotations

import torch

from proof.work import Store


def test_store_returns_what_was_kept_and_nothing_else(tmp_path):
    """Figures that are read back are those that were measured."""
    store = Store(tmp_path)
    assert store.record("drawing", "a") is None and store.tensors("learned", "a") is None
    store.keep_record("drawing", "a", {"rows": [1.5]})
    store.keep_tensors("learned", "a", {"word": torch.arange(3.0)})
    assert Store(tmp_path).record("drawing", "a") == {"rows": [1.5]}
    assert torch.equal(Store(tmp_path).tensors("learned", "a")["word"], torch.arange(3.0))

"""Names made of weights: what files on disk already bear, and what they cost to read."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch
from torch import nn


def weights() -> list[tuple[str, torch.Tensor]]:
    return [
        ("a", torch.arange(1000.0).view(10, 100)),
        ("b", torch.ones(()).half()),
        ("c", torch.linspace(-1, 1, 7)),
    ]


def test_a_fingerprint_does_not_change_between_versions(pack):
    """Finished trainings and measured statistics are found by it."""
    assert pack.fingerprints.fingerprint(weights()) == "c7740fd4adb36791"


def test_a_fingerprint_sees_names_shapes_and_sampled_numbers_but_no_dtype(pack):
    """The same weights are known again in half precision, and others are not taken for them."""
    name = pack.fingerprints.fingerprint
    assert name((key, tensor.half()) for key, tensor in weights()) == name(weights())
    (a, numbers), *rest = weights()
    assert len({name(weights()), name([("z", numbers), *rest]), name([(a, numbers.mT), *rest])}) == 3
    assert name([(a, numbers + 1), *rest]) != name(weights())


def test_any_number_of_weights_is_read_in_one_transfer(pack, monkeypatch):
    """A fingerprint of a whole model on the accelerator takes no noticeable time."""
    transfers = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: transfers.append(tensor.shape) or tolist(tensor))
    monkeypatch.setattr(torch.Tensor, "cpu", None)
    pack.fingerprints.fingerprint((str(n), torch.full((5, 40), float(n))) for n in range(300))
    assert transfers == [(300 * 64,)]


def test_the_first_stage_is_known_by_its_larger_weights(pack):
    """A training is found again though the host holds a VAE's small weights in another dtype."""
    identity = pack.fingerprints.first_stage_identity
    stage = nn.Sequential(nn.Linear(128, 128), nn.Linear(8, 8))
    known = identity(SimpleNamespace(first_stage_model=stage))
    nn.init.zeros_(stage[1].weight)
    assert identity(SimpleNamespace(first_stage_model=stage)) == known
    nn.init.zeros_(stage[0].weight)
    assert identity(SimpleNamespace(first_stage_model=stage)) != known


def test_the_fingerprint_is_the_same_in_half_precision_and_another_for_other_weights(pack, loaded, clip_identity):
    """No warning for the same text encoder in half precision, and one for another text encoder."""
    encoder = copy.deepcopy(pack.clip.text_encoder(loaded[1], "l"))
    assert pack.fingerprints.encoder_identity({"l": encoder.half()}) == clip_identity
    encoder.transformer.text_model.final_layer_norm.weight.data += 0.01
    assert pack.fingerprints.encoder_identity({"l": encoder}) != clip_identity

"""Names made of weights: what files on disk already bear, and what they cost to read."""

from __future__ import annotations

import torch


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
    name = pack.fingerprints.fingerprint
    assert name((key, tensor.half()) for key, tensor in weights()) == name(weights())
    (a, numbers), *rest = weights()
    assert len({name(weights()), name([("z", numbers), *rest]), name([(a, numbers.mT), *rest])}) == 3
    assert name([(a, numbers + 1), *rest]) != name(weights())


def test_any_number_of_weights_is_read_in_one_transfer(pack, monkeypatch):
    transfers = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(tensor.shape) or cpu(tensor))
    pack.fingerprints.fingerprint((str(n), torch.full((5, 40), float(n))) for n in range(300))
    assert transfers == [(300 * 64,)]

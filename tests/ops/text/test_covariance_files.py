"""Files of text statistics, and the fingerprint of the text encoder they belong to."""

from __future__ import annotations

import os
import re

import pytest
import torch

from builders.tokens import measured, tokens
from perfusion_ops.files.strict_safetensors import pack
from perfusion_ops.text.covariance import StatisticsFileError, UncenteredCovariance


def test_files_keep_every_bit(tmp_path):
    """Statistics from disk are those that were measured."""
    statistics = measured(*tokens(), encoder="e" * 16, corpus="c" * 16)
    statistics.save(tmp_path / "s.safetensors")
    loaded = UncenteredCovariance.load(tmp_path / "s.safetensors")
    assert torch.equal(loaded.sums, statistics.sums) and torch.equal(loaded.counts, statistics.counts)
    assert (loaded.encoder, loaded.corpus, loaded.fingerprint) == ("e" * 16, "c" * 16, statistics.fingerprint)
    loaded.update(*tokens(seed=1))
    assert loaded.fingerprint != statistics.fingerprint


def good_parts() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    tensors = {"sums": torch.ones(4, 6, dtype=torch.float64), "counts": torch.ones(4, dtype=torch.int64)}
    return tensors, {"perfusion.statistics_format": "1", "perfusion.width": "3"}


@pytest.mark.parametrize(
    ("tensors", "metadata", "sentence"),
    [
        ({}, {"perfusion.statistics_format": "2"}, "has statistics format '2'"),
        ({}, {"perfusion.width": "99999999999"}, "width '99999999999'"),
        ({}, {"perfusion.width": "4"}, "expected {'sums': ('F64', (4, 10))"),
        ({"sums": torch.ones(4, 6)}, {}, "'F32'"),
        ({"extra": torch.ones(1)}, {}, "expected {'sums': ('F64', (4, 6))"),
        ({"counts": torch.tensor([1, 1, 1, -1])}, {}, "negative counts"),
        ({"sums": torch.full((4, 6), float("nan"), dtype=torch.float64)}, {}, "not finite"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, tensors, metadata, sentence):
    """A wrong or damaged statistics file is named by what is wrong with it."""
    path = tmp_path / "s.safetensors"
    good_tensors, good_metadata = good_parts()
    path.write_bytes(pack(good_tensors, good_metadata))
    assert UncenteredCovariance.load(path).width == 3
    path.write_bytes(pack(good_tensors | tensors, good_metadata | metadata))
    with pytest.raises(StatisticsFileError, match=re.escape(sentence)) as caught:
        UncenteredCovariance.load(path)
    assert str(caught.value).startswith("'s.safetensors' ")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    """Who saves to a wrong folder is told which."""
    with pytest.raises(StatisticsFileError, match="could not be saved") as caught:
        UncenteredCovariance(3).save(tmp_path / "missing" / "s.safetensors")
    assert os.fspath(tmp_path / "missing") in str(caught.value)

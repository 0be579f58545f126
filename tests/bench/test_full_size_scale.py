"""The full-size benchmark's sizes fit the machine they run on."""

from __future__ import annotations

import pytest
import torch

from full_size.scale import SCALES, on_this_machine


def cases(scale) -> list:
    return [*scale.sampling, *scale.training]


@pytest.mark.parametrize("name", ["reduced", "patient"])
def test_where_bfloat16_is_emulated_nothing_computes_in_it(monkeypatch, name):
    """The benchmark ends in its time on a processor that only emulates bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    before, after = cases(SCALES[name]), cases(on_this_machine(SCALES[name]))
    assert any(case.dtype == "bfloat16" for case in before)
    for asked, fitted in zip(before, after, strict=True):
        assert (fitted.batch, fitted.pixels, fitted.rounds) == (asked.batch, asked.pixels, asked.rounds)
        if asked.dtype == "bfloat16":
            assert fitted.dtype == "float32" and fitted.family != "sdxl", "10 GB of weights"
        else:
            assert fitted == asked


@pytest.mark.parametrize("where", ["processor", "accelerator"])
def test_where_bfloat16_is_computed_in_the_sizes_stay(monkeypatch, where):
    """A machine that can is measured at the sizes that the tables name."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: where == "accelerator")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: where == "processor")
    assert on_this_machine(SCALES["reduced"]) == SCALES["reduced"]

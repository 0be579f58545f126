"""Marks beside a prompt: what is left of a concept after nodes changed the prompt's encodings."""

from __future__ import annotations

import torch

from perfusion_ops.edit.marks import read_marks, with_marks


def marked_pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encodings (1, 5, 48), their marked copy, and the marks (1, 5)."""
    encodings = 3 * torch.randn(1, 5, 48, generator=torch.Generator().manual_seed(1))
    marks = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0]])
    return encodings, with_marks(encodings, marks), marks


def test_rounding_leaves_a_mark_what_it_was() -> None:
    """A pack that brings a prompt's mean back would else edit every token a little, and the word's not wholly."""
    encodings, copy, marks = marked_pair()
    found = [read_marks(*(part * 1.0001 + 0.3 for part in (encodings, copy)))]
    noise = 1e-6 * torch.randn(encodings.shape, generator=torch.Generator().manual_seed(2))
    found += [read_marks(encodings, copy + noise), read_marks(encodings, copy)]
    assert all(torch.equal(each, marks) for each in found)


def test_a_weight_is_the_marks_weight() -> None:
    """A word with a weight of 1.2 takes the concept 1.2 times, and half a prompt holds half of it."""
    encodings, copy, marks = marked_pair()
    torch.testing.assert_close(read_marks(1.2 * encodings, 1.2 * copy), 1.2 * marks)
    mixed = [0.5 * part + 0.5 * encodings for part in (encodings, copy)]
    torch.testing.assert_close(read_marks(*mixed), 0.5 * marks)


def test_features_of_another_encoder_beside_do_not_dilute_a_mark() -> None:
    """SDXL and SD 3 put two encoders' features side by side, one of which may be zeros or not know the word."""
    encodings, copy, marks = marked_pair()
    beside = torch.randn(1, 5, 80, generator=torch.Generator().manual_seed(3))
    joined = [torch.cat((part, beside), -1) for part in (encodings, copy)]
    assert torch.equal(read_marks(*joined), marks)

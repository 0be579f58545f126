"""Text statistics: streaming equals batch, any order and any split agree, and C's scale is free."""

from __future__ import annotations

import re

import pytest
import torch

from builders.tokens import WIDTH, measured, tokens
from perfusion_ops.text.captions import captions
from perfusion_ops.text.covariance import (
    DEFAULT_MIX,
    TokenKind,
    UncenteredCovariance,
    inverse,
)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_streaming_equals_the_whole_batch_in_its_definition():
    """Captions are measured in small batches, without a loss and without much memory."""
    encodings, kinds = tokens()
    flat = encodings.double().flatten(0, 1)
    assert relative(measured(encodings, kinds, batch=3).matrix(), flat.T @ flat / len(flat)) < 1e-14
    centred = flat - flat.mean(0)
    assert relative(centred.T @ centred / len(flat), flat.T @ flat / len(flat)) > 0.1, "C must keep the mean"


def test_the_order_of_captions_does_not_matter():
    """The same captions give the same statistics in any order."""
    encodings, kinds = tokens()
    order = torch.randperm(len(encodings), generator=torch.Generator().manual_seed(1))
    one, other = measured(encodings, kinds, 7), measured(encodings[order], kinds[order], 5)
    assert relative(one.matrix(), other.matrix()) < 1e-14
    assert torch.equal(one.counts, other.counts)
    assert relative(measured(encodings[:-1], kinds[:-1]).matrix(), one.matrix()) > 1e-6


def test_merging_is_measuring_the_union():
    """Statistics of two lists of captions can be put together."""
    encodings, kinds = tokens()
    left = measured(encodings[:13], kinds[:13], corpus="a")
    right = measured(encodings[13:], kinds[13:], corpus="b")
    whole = measured(encodings, kinds)
    for both in (left.merged(right), right.merged(left)):
        assert relative(both.matrix(), whole.matrix()) < 1e-14
        assert torch.equal(both.counts, whole.counts) and both.corpus == "a+b"
    assert relative(left.matrix(), whole.matrix()) > 1e-3


def test_statistics_of_different_encoders_do_not_merge():
    """Statistics of different text encoders are not mixed up."""
    with pytest.raises(ValueError, match="'one' .*'two' .*cannot be merged"):
        UncenteredCovariance(3, "one").merged(UncenteredCovariance(3, "two"))


def test_float64_keeps_what_float32_sums_lose():
    """The sums of millions of tokens lose nothing that a concept's edit needs."""
    encodings, kinds = torch.full((1, 20_000, 1), 0.1, dtype=torch.float32), torch.ones(1, 20_000)
    statistics, careless = UncenteredCovariance(1), torch.zeros(1, dtype=torch.float32)
    for part, its_kinds in zip(encodings.split(10, 1), kinds.split(10, 1), strict=True):
        statistics.update(part, its_kinds)
    for part in encodings.flatten():
        careless += part * part
    exact = encodings[0, 0, 0].double() ** 2
    assert abs(statistics.matrix() / exact - 1).item() < 1e-13
    assert abs(careless / 20_000 / exact - 1).item() > 1e-6


def test_half_precision_encodings_are_taken_at_their_own_value():
    """A text encoder in half precision is measured as it is."""
    encodings, kinds = tokens()
    half = encodings.half()
    assert torch.equal(measured(half, kinds).matrix(), measured(half.double(), kinds).matrix())


# The mix


def test_each_kind_has_its_own_mean():
    """Words, ends and padding each have the weight that was chosen for them."""
    encodings, kinds = tokens()
    statistics = measured(encodings, kinds)
    for kind in TokenKind:
        rows = encodings[kinds == kind].double()
        assert relative(statistics.matrix({kind: 3.0}), rows.T @ rows / len(rows)) < 1e-14
    counted = {kind: float(statistics.counts[kind]) for kind in TokenKind}
    assert relative(statistics.matrix(counted), statistics.matrix()) < 1e-14
    assert relative(statistics.matrix({TokenKind.WORD: 1.0}), statistics.matrix()) > 1e-3


def test_a_mix_is_linear_in_its_weights():
    """Twice the weight is twice the share."""
    statistics = measured(*tokens())
    words, ends = statistics.matrix({TokenKind.WORD: 1}), statistics.matrix({TokenKind.END: 1})
    assert relative(statistics.matrix({TokenKind.WORD: 3, TokenKind.END: 1}), 0.75 * words + 0.25 * ends) < 1e-14


@pytest.mark.parametrize("mix", [{}, {TokenKind.WORD: 0.0}, {TokenKind.WORD: 2.0, TokenKind.END: -1.0}])
def test_a_mix_needs_positive_weights(mix):
    """A mix that could not be inverted is refused at once."""
    with pytest.raises(ValueError, match="expected positive weights"):
        measured(*tokens()).matrix(mix)


def test_kinds_never_seen_cannot_be_mixed_in():
    """Statistics that lack a kind of token say so; its weight would silently have no effect."""
    encodings, _ = tokens()
    statistics = measured(encodings, torch.full(encodings.shape[:-1], int(TokenKind.WORD)))
    with pytest.raises(ValueError, match="no tokens of kind padding; measure more captions"):
        statistics.matrix({TokenKind.WORD: 1.0, TokenKind.PADDING: 1.0})
    with pytest.raises(ValueError, match="expected positive weights"):
        UncenteredCovariance(4).matrix()


def test_bad_encodings_are_refused_and_nothing_is_taken_in():
    """One broken batch does not spoil the statistics that were measured before it."""
    encodings, kinds = tokens()
    statistics = measured(encodings, kinds)
    before = statistics.fingerprint
    broken = encodings.clone()
    broken[3, 2, 1] = float("nan")
    with pytest.raises(ValueError, match="not finite; run it in float32"):
        statistics.update(broken, kinds)
    with pytest.raises(ValueError, match=re.escape("(..., 12)")):
        statistics.update(encodings[..., :5], kinds)
    assert statistics.fingerprint == before


# The inverse


def test_the_inverse_inverts_and_is_symmetric():
    """Similarities are measured in the metric that the paper means."""
    matrix = measured(*tokens()).matrix()
    inverted = inverse(matrix, damping=0.0)
    assert torch.equal(inverted, inverted.T)
    assert relative(inverted @ matrix, torch.eye(WIDTH, dtype=torch.float64)) < 1e-9


def test_damping_adds_its_share_of_the_mean_eigenvalue():
    """Damping acts as much on every text encoder, whatever the scale of its encodings."""
    matrix = measured(*tokens()).matrix()
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    damped = vectors @ torch.diag(1 / (eigenvalues + 0.01 * eigenvalues.mean())) @ vectors.T
    assert relative(inverse(matrix, 0.01), damped) < 1e-10
    assert relative(inverse(matrix, 0.0), damped) > 0.1
    assert torch.linalg.cond(inverse(matrix, 0.01)) < torch.linalg.cond(matrix) / 2


def test_the_damping_and_the_mix_are_those_that_every_concept_was_trained_with():
    """Other numbers are another metric: a training that goes on, or a concept made again, would be another."""
    matrix = measured(*tokens()).matrix()
    assert torch.equal(inverse(matrix), inverse(matrix, 0.01))
    words = sum(len(text.split()) for text in captions(500, 0)) / 500
    shares = {TokenKind.WORD: words / 76, TokenKind.END: 1 / 76, TokenKind.PADDING: (75 - words) / 76}
    assert DEFAULT_MIX == pytest.approx(shares, abs=0.04), "about as many as 77 tokens of a caption have of each"


def test_the_scale_of_the_covariance_cancels_in_similarities():
    """The number of captions does not move the gate."""
    encodings, kinds = tokens()
    matrix, target_input = measured(encodings, kinds).matrix(), encodings[0, 1].double()

    def similarities(covariance: torch.Tensor, damping: float = 0.01) -> torch.Tensor:
        dual = inverse(covariance, damping) @ target_input
        return encodings.double() @ dual / (target_input @ dual)

    assert relative(similarities(matrix * 1e6), similarities(matrix)) < 1e-12
    assert relative(similarities(matrix, 0.1), similarities(matrix)) > 1e-3, "the damping itself does not cancel"


def test_too_few_tokens_are_singular_until_damped():
    """Who measures too few captions is told to measure more."""
    encodings, kinds = tokens(count=1, length=WIDTH - 2)
    matrix = measured(encodings, kinds).matrix()
    with pytest.raises(
        ValueError, match="singular .*too few different tokens. Measure more captions, or use a damping"
    ):
        inverse(matrix, damping=0.0)
    assert torch.isfinite(inverse(matrix, damping=1e-3)).all()




def test_padding_is_far_from_a_concept_only_when_it_is_in_the_covariance() -> None:
    """Padding tokens share a direction that words hardly have: outside C's span a similarity means nothing."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.zeros(16, dtype=torch.float64)
    direction[0] = 3.0
    words = torch.randn(4000, 16, generator=generator, dtype=torch.float64)
    words[:, 0] *= 0.01
    rest = direction + 0.1 * torch.randn(4000, 16, generator=generator, dtype=torch.float64)
    statistics = UncenteredCovariance(16)
    for kind, encodings in ((TokenKind.WORD, words), (TokenKind.END, rest[:400]), (TokenKind.PADDING, rest)):
        statistics.update(encodings, torch.full(encodings.shape[:1], int(kind)))

    def largest(mix: dict[TokenKind, float]) -> float:
        target_input = words[:1] + 0.3 * direction
        dual = target_input @ inverse(statistics.matrix(mix), damping=1e-3)
        return (rest @ dual[0] / (target_input @ dual[0])).abs().max().item()

    assert largest({TokenKind.WORD: 1.0}) > 2
    assert largest(DEFAULT_MIX) < 0.5

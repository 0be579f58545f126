"""A concept holds together: vectors of one width, a word, a superclass, a look, and a positive energy."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from builders.concepts import small_concept
from perfusion_ops import KeyLocking


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target_dual": torch.ones(5)}, "target_dual has shape (5,); expected (12,)"),
        ({"superclass_encoding": torch.ones(1, 12)}, "superclass_encoding has shape (1, 12); expected (12,)"),
        ({"word_embeddings": {"l": torch.ones(9).half()}}, "word_embeddings['l'] has dtype torch.float16"),
        ({"value_residuals": {"a": torch.full((3,), float("inf"))}}, "value_residuals['a'] holds values that are not"),
        ({"key_residuals": {"a": torch.ones(0)}}, "key_residuals['a'] has shape (0,); expected (n,)"),
        ({"word": ""}, "needs a concept word and a superclass; found an empty one"),
        ({"superclass": ""}, "needs a concept word and a superclass; found an empty one"),
        ({"value_residuals": {}}, "needs the value residual of at least one cross-attention layer; found none"),
        ({"target_dual": torch.zeros(12)}, "'<rex>' has energy 0; expected a positive number"),
    ],
)
def test_a_concept_that_does_not_hold_together_is_refused_by_the_part_that_is_wrong(changes, sentence):
    """A broken concept never reaches a model, where it would draw noise or a black picture."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        small_concept(**changes)


def test_a_concept_cannot_be_changed_in_place():
    """What one branch of a workflow does to a concept does not reach another branch."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_concept().word = "<tom>"


def test_each_key_locking_says_what_it_needs():
    """No locking silently lacks the superclass prompt, and none edits keys that it says it leaves alone."""
    needs = {locking for locking in KeyLocking if locking.uses_superclass_prompt}
    assert needs == {KeyLocking.GLOBAL_GATED, KeyLocking.GLOBAL_PURE}
    assert {locking for locking in KeyLocking if not locking.edits_keys} == {KeyLocking.GLOBAL_PURE, KeyLocking.OFF}

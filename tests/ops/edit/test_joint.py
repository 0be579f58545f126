"""JointEdit: many concepts, batches of prompts, presence, key lockings, strengths."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from builders.worlds import RandomWorld, random_world
from perfusion_ops import EditTerm, Gate, JointEdit, KeyLocking, nearly_parallel


def terms_of(world: RandomWorld, count: int = 3, **changes) -> list[EditTerm]:
    return [EditTerm(world.concept(j), Gate(0.6, 0.15), **changes) for j in range(count)]


def values_of(edit: JointEdit, world: RandomWorld, encodings: torch.Tensor, **kwargs) -> torch.Tensor:
    context = edit.contexts(encodings, **kwargs)
    return context.values @ world.weight.to(encodings.dtype).mT + edit.value_delta("layer", context.gates)


def test_the_order_of_terms_does_not_change_a_bit() -> None:
    """Apply nodes that swap places draw the same picture, to the bit."""
    world = random_world(3)
    encodings = world.encodings.float()
    expected = JointEdit.of(terms_of(world)).contexts(encodings)
    for terms in itertools.permutations(terms_of(world)):
        context = JointEdit.of(terms).contexts(encodings)
        assert torch.equal(context.keys, expected.keys)
        assert torch.equal(context.values, expected.values)
        assert torch.equal(context.gates, expected.gates)


def test_a_prompt_without_a_concept_comes_back_bit_for_bit() -> None:
    """A prompt without the concept is drawn as if the pack were not installed."""
    world = random_world(2)
    edit = JointEdit.of(terms_of(world, 2))
    encodings = world.encodings.half()
    context = edit.contexts(encodings, present=torch.tensor([[False, False], [True, False]]))
    assert torch.equal(context.keys[0], encodings[0]) and torch.equal(context.values[0], encodings[0])
    assert (context.gates[0] == 0).all()
    assert not torch.equal(context.values[1], encodings[1]), "the prompt that holds a concept must be edited"


def test_a_prompt_with_one_of_two_concepts_equals_that_concept_alone() -> None:
    """A concept that is loaded but not named has no say in the picture."""
    world = random_world(2)
    both, alone = JointEdit.of(terms_of(world, 2)), JointEdit.of(terms_of(world, 1))
    encodings = world.encodings.float()
    present = torch.tensor([[True, False], [True, False]])
    assert torch.equal(values_of(both, world, encodings, present=present), values_of(alone, world, encodings))
    assert not torch.equal(values_of(both, world, encodings), values_of(alone, world, encodings))


def test_kept_tokens_are_never_edited() -> None:
    """The start token, which steers the whole picture, stays the model's own."""
    world = random_world(1)
    keep = torch.zeros(2, 7, dtype=torch.bool)
    keep[:, 0] = True
    encodings = world.encodings.float()
    unlike = {"locked": KeyLocking.LOCAL, "of keys left alone": KeyLocking.OFF}
    for name, locking in unlike.items():
        edit = JointEdit.of(terms_of(world, 1, key_locking=locking))
        whole, context = edit.contexts(encodings), edit.contexts(encodings, keep=keep)
        trained = whole.keeping(keep, encodings)
        for part, kept in (("keys", encodings), ("values", encodings), ("gates", torch.zeros(2, 7, 1))):
            expected = torch.where(keep.unsqueeze(-1), kept, getattr(whole, part))
            assert torch.equal(getattr(context, part), expected), f"{part} of a concept {name}"
            assert torch.equal(getattr(trained, part), expected), f"{part} of a concept {name}, in training"
        assert (whole.values[:, 0] - encodings[:, 0]).abs().max() > 0 and whole.gates[:, 0].min() > 0


def test_strength_zero_is_the_superclass() -> None:
    """Visual strength runs from the superclass at 0 through the concept at 1, evenly."""
    world = random_world(1)
    encodings = world.encodings.float()

    def values(strength: float) -> torch.Tensor:
        return values_of(JointEdit.of(terms_of(world, 1, strength=strength)), world, encodings)

    class_only = RandomWorld(**(vars(world) | {"residuals": torch.zeros_like(world.residuals)}))
    expected = values_of(JointEdit.of(terms_of(class_only, 1)), world, encodings)
    assert torch.equal(values(0.0), expected)
    assert (values(1.0) - expected).abs().max() > 0.1
    torch.testing.assert_close(values(2.0) - values(1.0), values(1.0) - expected, rtol=1e-4, atol=1e-5)


def test_a_layer_strength_scales_one_layer() -> None:
    """One layer's share of the look can be turned down without the others."""
    world = random_world(1)
    full = JointEdit.of(terms_of(world, 1))
    half = JointEdit.of(terms_of(world, 1, layer_strengths={"layer": 0.5, "another": 0.0}))
    torch.testing.assert_close(half.value_residuals["layer"], full.value_residuals["layer"] * 0.5)


def test_global_pure_locking_takes_all_keys_from_the_superclass_prompt() -> None:
    """With ``global pure`` the picture is laid out as the superclass prompt lays it out."""
    world = random_world(1)
    encodings, superclass_prompt = world.encodings.float(), world.encodings.flip(0).float()
    pure = JointEdit.of(terms_of(world, 1, key_locking=KeyLocking.GLOBAL_PURE))
    context = pure.contexts(encodings, superclass_prompt)
    assert torch.equal(context.keys, superclass_prompt)
    local = JointEdit.of(terms_of(world, 1)).contexts(encodings)
    assert torch.equal(context.values, local.values)


def test_global_gated_locking_is_the_local_edit_of_the_superclass_prompt() -> None:
    """With ``global gated`` the keys are those of the superclass prompt, edited."""
    world = random_world(2)
    encodings, superclass_prompt = world.encodings.float(), world.encodings.flip(0).float()
    gated = JointEdit.of(terms_of(world, 2, key_locking=KeyLocking.GLOBAL_GATED))
    context = gated.contexts(encodings, superclass_prompt)
    local = JointEdit.of(terms_of(world, 2))
    torch.testing.assert_close(context.keys, local.contexts(superclass_prompt).keys)
    assert (context.keys - local.contexts(encodings).keys).abs().max() > 1e-3


def test_global_locking_without_a_superclass_prompt_says_so() -> None:
    """A global locking that lacks what it needs is refused; it would silently have been a local one."""
    world = random_world(1)
    edit = JointEdit.of(terms_of(world, 1, key_locking=KeyLocking.GLOBAL_GATED))
    with pytest.raises(ValueError, match="needs the encodings of the superclass prompt"):
        edit.contexts(world.encodings.float())


def test_locking_off_leaves_the_keys_alone() -> None:
    """With ``off`` only the look changes, and the prompt's own keys lay the picture out."""
    world = random_world(1)
    context = JointEdit.of(terms_of(world, 1, key_locking=KeyLocking.OFF)).contexts(world.encodings.float())
    assert torch.equal(context.keys, world.encodings.float())
    assert not torch.equal(context.values, world.encodings.float())


def test_trained_keys_are_added_under_their_own_locking_alone() -> None:
    """A concept with trained keys that is drawn with locked keys has the superclass's, to the bit."""
    world = random_world(2)
    trained = replace(world.concept(0), key_residuals={"layer": world.residuals[1].float()})
    terms = [EditTerm(trained, key_locking=locking) for locking in (KeyLocking.TRAINED, KeyLocking.LOCAL)]
    own, locked = (JointEdit.of([term, EditTerm(world.concept(1))]).key_residuals for term in terms)
    assert torch.equal(own["layer"], torch.stack([world.residuals[1].float(), torch.zeros_like(own["layer"][1])]))
    assert not locked


def test_one_concept_off_beside_one_locked_leaves_the_locked_key_as_alone() -> None:
    """Each concept of a chain keeps its own key locking."""
    world = random_world(2)
    encodings = world.encodings.float()
    locked = EditTerm(world.concept(0), Gate(0.6, 0.15))
    unlocked = EditTerm(world.concept(1), Gate(0.6, 0.15), key_locking=KeyLocking.OFF)
    mixed = JointEdit.of([locked, unlocked]).contexts(encodings)
    assert torch.equal(mixed.keys, JointEdit.of([locked]).contexts(encodings).keys)


def test_half_precision_encodings_come_back_in_half_precision_with_a_float32_gate() -> None:
    """Models in half precision take the context as it comes, and the gate is not rounded."""
    world = random_world(2)
    context = JointEdit.of(terms_of(world, 2)).contexts(world.encodings.to(torch.bfloat16))
    assert context.keys.dtype == context.values.dtype == torch.bfloat16
    assert context.gates.dtype == torch.float32


def test_nearly_parallel_concepts_stay_finite_and_say_so() -> None:
    """Two concepts that no edit can tell apart are named, and the picture is still drawn."""
    world = random_world(2)
    world.target_inputs[1] = world.target_inputs[0] * 1.000001
    assert "'<concept0>' and '<concept1>' have nearly the same target input" in nearly_parallel(terms_of(world, 2))
    context = JointEdit.of(terms_of(world, 2)).contexts(world.encodings.float())
    assert torch.isfinite(context.keys).all() and torch.isfinite(context.gates).all()


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**10])
def test_the_scale_of_each_dual_cancels(scale: float) -> None:
    """A concept draws the same from memory and from its file.

    Of two much alike concepts one comes from training, the other from an fp16 file, which sets its dual's scale.
    """
    world = random_world(2)
    world.target_inputs[1] = world.target_inputs[0] + 0.02 * world.target_inputs[1]
    first, second = terms_of(world, 2)
    scaled = replace(first, concept=replace(first.concept, target_dual=first.concept.target_dual * scale))
    before, after = (
        JointEdit.of([term, second], dtype=torch.float64).contexts(world.encodings) for term in (first, scaled)
    )
    assert torch.equal(after.values, before.values) and torch.equal(after.gates, before.gates)
    alone = JointEdit.of([first], dtype=torch.float64).contexts(world.encodings)
    assert (before.values - alone.values).abs().max() > 1e-2, "the second concept must matter"


def test_the_sentence_names_a_correlation_whatever_the_scale_of_a_dual() -> None:
    """The warning about two alike concepts gives a figure from 0 to 1, for concepts from files too."""
    world = random_world(2)
    world.target_inputs[1] = world.target_inputs[0] * 1.000001
    first, second = terms_of(world, 2)
    scaled = replace(first, concept=replace(first.concept, target_dual=first.concept.target_dual * 1e6))
    assert "correlation 1.0000" in nearly_parallel([scaled, second])


def test_distinct_concepts_and_one_alone_have_no_such_sentence() -> None:
    """No warning is shown where nothing is wrong."""
    terms = terms_of(random_world(3), 3)
    concept = terms[0].concept
    scaled = replace(terms[0], concept=replace(concept, target_dual=concept.target_dual * 1e6))
    assert [nearly_parallel(some) for some in (terms, [scaled, *terms[1:]], terms[:1])] == [None, None, None]


def test_two_concepts_of_one_word_are_refused() -> None:
    """Two concepts of one word are refused; one of them would never be drawn."""
    world = random_world(2)
    with pytest.raises(ValueError, match="'<cat>' stands for two concepts"):
        JointEdit.of([EditTerm(world.concept(0, "<cat>")), EditTerm(world.concept(1, "<cat>"))])


def test_concepts_of_different_widths_or_layers_are_refused() -> None:
    """Concepts for different models are refused by name, before anything is drawn."""
    world, other = random_world(2), random_world(1, width=32)
    with pytest.raises(ValueError, match="context width 24 and '<b>' for 32"):
        JointEdit.of([EditTerm(world.concept(0, "<a>")), EditTerm(other.concept(0, "<b>"))])
    with pytest.raises(ValueError, match="different attention layers"):
        JointEdit.of([EditTerm(world.concept(0)), EditTerm(world.concept(1, layer="elsewhere"))])


def test_an_empty_edit_is_refused() -> None:
    """An edit without a concept is an error of the caller, and says so."""
    with pytest.raises(ValueError, match="at least one concept"):
        JointEdit.of([])


@pytest.mark.gpu
def test_one_edit_serves_several_devices() -> None:
    """On a GPU the edit is the one computed on the processor."""
    world = random_world(2)
    edit = JointEdit.of(terms_of(world, 2))
    on_gpu = edit.to("cuda", torch.float32).contexts(world.encodings.float().cuda())
    torch.testing.assert_close(on_gpu.values.cpu(), edit.contexts(world.encodings.float()).values, rtol=1e-4, atol=1e-4)

"""Schedules in the host's own sampling: at every time the model answers as with the plain dials of that time."""

from __future__ import annotations

import math
from importlib import import_module

import pytest
import torch

from builders.answers import answers_at, schedule_of
from builders.places import PACK

SHARES = (0.1, 0.45, 0.8)
LATENT = (4, 8, 8)
TEXT = "a teddy_t and a mug_m"


class Scene:
    """Two concepts on the small SD 1.x checkpoint, each with dials of its own."""

    def __init__(self, pack, loaded, *concepts) -> None:
        self.pack, (self.model, self.clip), self.concepts = pack, loaded, concepts

    def applied(self, dials: list[dict], order: int):
        """MODEL and CLIP as a chain of Apply nodes makes them; ``dials`` are inputs of each."""
        model, clip = self.model, self.clip
        for concept, given in list(zip(self.concepts, dials, strict=True))[::order]:
            dial = {"strength": 1.0, "bias": 0.3, "locking": "local", **given}
            locking, naming = self.pack.ops.KeyLocking(dial.pop("locking")), self.pack.naming.Naming(concept.word)
            term = self.pack.ops.EditTerm(
                concept, self.pack.ops.Gate(dial.pop("bias")), strength := dial.pop("strength"), locking
            )
            applied = self.pack.model.AppliedConcept(term, naming=naming, **dial)
            model = self.pack.model.model_with_concept(model, applied)
            clip = self.pack.clip.clip_with_concept(clip, concept, strength, locking, naming)
        return model, clip

    def answers(
        self, *dials: dict, shares=SHARES, hooks=None, order: int = 1, spread: float = 1.0, text: str = TEXT
    ) -> torch.Tensor:
        """Of the prompt with both concepts; ``hooks`` are set on it."""
        model, clip = self.applied(list(dials), order)
        conds = [clip.encode_from_tokens_scheduled(clip.tokenize(each), show_pbar=False) for each in (text, "a boat")]
        if hooks is not None:
            conds[0] = [[encodings, {**entries, "hooks": hooks}] for encodings, entries in conds[0]]
        return answers_at(model, conds, (2 if spread < 1 else 1, *LATENT), shares, spread)

    def plain(self, text: str, shares=SHARES, hooks=None) -> torch.Tensor:
        """Of a prompt without concepts, by the model without them. Prompts with hooks are not batched with others."""
        conds = [self.clip.encode_from_tokens_scheduled(self.clip.tokenize(each)) for each in (text, "a boat")]
        if hooks is not None:
            conds[0] = [[encodings, {**entries, "hooks": hooks}] for encodings, entries in conds[0]]
        return answers_at(self.model, conds, (1, *LATENT), shares)

    def answer(self, share: float, *dials: dict, **where) -> torch.Tensor:
        """At one time alone."""
        return self.answers(*dials, shares=[share], **where)[0]


@pytest.fixture(scope="module")
def learned(pack, loaded, pack_concept):
    return Scene(pack, loaded, pack_concept("teddy_t", "bear", 1), pack_concept("mug_m", "cup", 2))


@pytest.fixture(scope="module")
def positioned(pack, learned):
    """The same two with a position gate."""
    return [
        pack.ops.Concept(c.word, c.superclass, "sd1", value_residuals=c.value_residuals, gate="position")
        for c in learned.concepts
    ]


@pytest.fixture(scope="module", params=["learned word", "position"])
def scene(request, pack, loaded, learned, positioned):
    return learned if request.param == "learned word" else Scene(pack, loaded, *positioned)


def test_two_schedules_give_the_plain_dials_of_each_time_to_the_bit_in_any_order(scene):
    """A schedule would draw something else than its numbers say, or depend on the order of the nodes."""
    teddy, mug = schedule_of((0.0, 1.0, 0.4), (0.3, 0.5, 0.0)), schedule_of((0.3, 2.0, 0.0), (0.6, 1.0, -0.2))
    found = scene.answers({"schedule": teddy}, {"schedule": mug})
    plain = [
        ({"bias": 0.7}, {"strength": 2.0}),
        ({"strength": 0.5}, {"strength": 2.0}),
        ({"strength": 0.5}, {"bias": 0.1}),
    ]
    for share, answer, dials in zip(SHARES, found, plain, strict=True):
        assert torch.equal(answer, scene.answer(share, *dials)), share
    assert torch.equal(found, scene.answers({"schedule": teddy}, {"schedule": mug}, order=-1))
    assert not torch.equal(found[1], scene.answer(SHARES[1], *plain[0]))


def test_a_bias_that_moves_all_the_way_is_the_plain_bias_of_every_part(learned):
    """A slope would lag behind the sampler, or make a context of another bias than the dial has then."""
    schedule = schedule_of((0.2, 1.0, 0.5), (0.8, 1.0, -0.1), by="linear")
    shares = (0.1, 0.21, 0.5, 0.9)
    found = learned.answers({"schedule": schedule, "locking": "global_gated"}, {}, shares=shares)
    for share, answer in zip(shares, found, strict=True):
        part = min(max(math.floor((share - 0.2) / 0.03 + 1e-6), 0), 20)
        plain = {"bias": round(0.3 + 0.5 - 0.03 * part, 9), "locking": "global_gated"}
        assert torch.equal(answer, learned.answer(share, plain, {})), share


def test_strength_zero_is_a_rest_and_rows_of_a_batch_follow_the_largest_sigma(learned):
    """The look would leak into steps that have none, or half of a batch would be drawn by another level."""
    found = learned.answers({"schedule": schedule_of((0.0, 0.0, 0.2), (0.3, 1.0, 0.2))}, {}, shares=SHARES[:2])
    assert torch.equal(found, learned.answers({"bias": 0.5, "start_percent": 0.3}, {}, shares=SHARES[:2]))
    rests = {"bias": 0.5, "start_percent": 1.0}
    assert torch.equal(found[0], learned.answer(SHARES[0], rests, {}))
    assert not torch.equal(found[1], learned.answer(SHARES[1], rests, {}))
    ends = learned.answers({"bias": 0.5, "end_percent": 0.3}, {}, shares=SHARES[:2])
    assert torch.equal(ends[1], learned.answer(SHARES[1], rests, {})) and not torch.equal(ends[0], found[0])
    schedule = {"schedule": schedule_of((0.0, 1.0, 0.6), (0.7, 1.0, 0.0))}
    spread = learned.answers(schedule, {}, shares=SHARES[1:], spread=0.01)
    assert torch.equal(spread[0], learned.answer(SHARES[1], {"bias": 0.9}, {}, spread=0.01))
    assert torch.equal(spread[1], learned.answer(SHARES[2], {}, {}, spread=0.01))


def test_a_concept_that_never_rests_has_one_level_and_no_context_to_rest_in(pack, learned):
    """Each step would choose between two contexts, and each prompt be encoded and kept twice, for nothing."""

    def call(**where):
        model, _clip = learned.applied([where, {}], 1)
        applied = model.model_options["transformer_options"][pack.model.KEY]
        return pack.model.ModelCall(applied, model, {"positive": [{}]}), applied.levels

    for where in ({}, {"schedule": schedule_of((0.0, 1.0, 0.2), (1.0, 0.0, 0.2))}):
        still, levels = call(**where)
        assert not still.rests and levels.strengths == ((1.0, 1.0),)
    for where in ({"end_percent": 0.5}, {"start_percent": 0.5}, {"start_percent": 1.0}):
        assert call(**where)[0].rests


def test_a_concept_counts_as_drawn_once_its_strength_was_above_0(pack, learned):
    """A look that ends before the last step had its effect: its node would say that it had none."""
    dials = {"end_percent": 0.3}, {"start_percent": 0.9}
    model, _clip = learned.applied(list(dials), 1)
    applied = model.model_options["transformer_options"][pack.model.KEY]
    timetable = pack.model.ModelCall(applied, model, {"positive": [{}]}).timetable
    sampling, drawn = model.get_model_object("model_sampling"), []
    for share in SHARES:
        timetable.at(torch.tensor(float(sampling.percent_to_sigma(share))))
        drawn.append(dict(zip(applied.edit.words, timetable.opened(), strict=True)))
    assert drawn == [{"mug_m": False, "teddy_t": True}] * 3


@pytest.mark.parametrize("locking", ["local", "global_pure", "exact"])
def test_while_all_rest_the_superclass_prompt_is_read_to_the_bit(learned, locking):
    """Keys and a share of the superclass would act on: the picture would not begin as the superclass's own."""
    make = import_module(f"{PACK}.nodes.host.strength_hook").strength_hooks
    late = {"start_percent": 0.3, "locking": locking}
    rests = {"schedule": schedule_of((0.0, 0.0, 0.2), (0.3, 1.0, 0.0)), "locking": locking}
    superclasses = ("a bear and a cup", SHARES[:2])
    plain = learned.plain(*superclasses)
    for dials in ((late, late), (late, rests), (rests, rests)):
        found = learned.answers(*dials, shares=SHARES[:2])
        assert torch.equal(found[0], plain[0]) and not torch.equal(found[1], plain[1])
    awake = {"locking": locking}
    hooks = make("mug_m", 0.0, before=make("teddy_t", 0.0))
    found = learned.answers(awake, awake, shares=SHARES[:2], hooks=hooks)
    assert torch.equal(found, learned.plain(*superclasses, hooks))
    assert not torch.equal(learned.answer(SHARES[0], late, awake), plain[0])


def test_a_word_rests_beside_a_position_gate_that_acts(pack, loaded, learned, positioned):
    """The word's keys would act on in steps that it has no part in, because another concept of the prompt has one."""
    mixed, alone = Scene(pack, loaded, learned.concepts[0], positioned[1]), Scene(pack, loaded, positioned[1])
    found = mixed.answers({"start_percent": 0.3}, {}, shares=SHARES[:2])
    superclass = alone.answers({}, shares=SHARES[:2], text="a bear and a mug_m")
    torch.testing.assert_close(found[0], superclass[0], rtol=1e-4, atol=1e-4)
    assert (found[1] - superclass[1]).abs().max() > 1e-2
    assert not torch.equal(found[0], learned.plain("a bear and a cup", SHARES[:1])[0])


def test_keyframes_of_a_hook_move_the_bias_of_its_concept_alone(learned):
    """The core's keyframes would move nothing, or another concept, or the strength along with the bias."""
    import comfy.hooks

    make = import_module(f"{PACK}.nodes.host.strength_hook").strength_hooks
    still = make("teddy_t", 1.0)
    moved = make("teddy_t", 1.0, 0.4, "bias_shift")
    frames = comfy.hooks.HookKeyframeGroup()
    for percent, value in ((0.0, 1.0), (0.3, 0.25), (0.6, -0.5)):
        frames.add(comfy.hooks.HookKeyframe(value, percent))
    moved.set_keyframes_on_hooks(frames)
    both = make("mug_m", 0.5, 0.1, before=moved)
    schedule = {"schedule": schedule_of((0.0, 1.0, 0.0), (0.6, 1.0, 0.2))}
    found, with_mug = learned.answers(schedule, {}, hooks=moved), learned.answers(schedule, {}, hooks=both)
    for number, (share, bias) in enumerate(zip(SHARES, (0.7, 0.4, 0.3), strict=True)):
        assert torch.equal(found[number], learned.answer(share, {"bias": bias}, {}, hooks=still)), bias
        mug = {"bias": 0.4, "strength": 0.5}
        assert torch.equal(with_mug[number], learned.answer(share, {"bias": bias}, mug, hooks=still)), bias
    assert not torch.equal(found[0], learned.answer(SHARES[0], {}, {}, hooks=still))
    twice, once = make("teddy_t", 0.5, before=make("teddy_t", 0.4)), make("teddy_t", 0.2)
    answers = [learned.answer(SHARES[0], {}, {}, hooks=hooks) for hooks in (twice, once)]
    assert torch.equal(*answers), "of two hooks for one concept both count"


def test_each_keyframe_of_two_hooks_finds_the_context_of_its_own_shifts(pack):
    """Two hooks with keyframes on one prompt: a concept would be drawn at a bias that the other's keyframe asks for."""
    import comfy.hooks

    hooks, words = import_module(f"{PACK}.nodes.host.strength_hook"), ("mug_m", "teddy_t")
    moves = {"teddy_t": (0.4, (1.0, 0.25)), "mug_m": (0.2, (1.0, -1.0, 0.5))}
    both = None
    for word, (shift, values) in moves.items():
        made, frames = hooks.strength_hooks(word, 1.0, shift, "bias_shift"), comfy.hooks.HookKeyframeGroup()
        for number, value in enumerate(values):
            frames.add(comfy.hooks.HookKeyframe(value, number / 4))
        made.set_keyframes_on_hooks(frames)
        both = made if both is None else both.clone_and_combine(made)
    possible = hooks.possible_shifts(both, words)
    for one in range(2):
        for other in range(3):
            options = {hooks.SHIFTS: [("teddy_t", one, 2), ("unknown", 1, 2), ("mug_m", other, 3)]}
            number, count = hooks.shift_that_holds(options, words)
            wanted = moves["mug_m"][0] * moves["mug_m"][1][other], moves["teddy_t"][0] * moves["teddy_t"][1][one]
            assert count == len(possible) == 6 and possible[number] == pytest.approx(wanted)

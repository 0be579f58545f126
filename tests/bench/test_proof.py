"""The proof's own arithmetic: intervals, areas under fronts, and the scoring of readings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pixelworld import art
from pixelworld.captions import Caption
from pixelworld.once import the_world
from pixelworld.reader import FigureReading, Reading
from pixelworld.scene import Traits
from pixelworld.train import training_captions
from pixelworld.traits import leaked_traits
from proof.adapters import adapted, moved_weights, new_pairs
from proof.methods import Taught, encode, learned_words, spelled
from proof.reading import attributes_right, companion_row, scaled_identity
from proof.recipes import drawing_of
from proof.scenes import companion_captions, side_of, texts_of, unseen_prompts, words_of
from proof.specs import BASE, BESIDE, CLASSES, OURS, RESIDUAL, WORD, Dial, Drawing, Learning, Subject, result_key
from proof.statistics import area_under_front, bootstrap, mean_interval, pareto_front, value_at, verdict
from proof.studies import circles
from proof.tables import IDENTITY, TAKEN, beside_points, grouped
from proof.work import Store

TRAITS = Traits("red", "blue", "stripes", "none")


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.RandomState(0)
    intervals = [mean_interval(rng.normal(3, 1, 30)) for _ in range(60)]
    assert 50 <= sum(interval.low <= 3 <= interval.high for interval in intervals) < 60


def test_interval_of_equal_individuals_is_a_point_and_of_a_constant_shift_is_shifted():
    assert mean_interval([0.4] * 8).low == pytest.approx(0.4)
    values = np.random.RandomState(1).rand(8)
    plain, shifted = mean_interval(values), mean_interval(values + 2)
    assert shifted.low - plain.low == pytest.approx(2)


def test_paired_differences_are_resampled_together():
    """Individuals that differ much, each better by exactly 0.1: the difference has no spread."""
    samples = np.stack([np.arange(8.0), np.arange(8.0) + 0.1], axis=1)
    interval = bootstrap(samples, lambda s: float(s[:, 1].mean() - s[:, 0].mean()))
    assert interval.high - interval.low < 1e-9
    assert mean_interval(samples[:, 0]).high - mean_interval(samples[:, 0]).low > 1


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([(1, 1)], 1.0),
        ([(0.5, 0.8)], 0.4),
        ([(0, 1), (1, 0)], 0.0),
        ([(0.5, 1), (1, 0.5)], 0.75),
        ([(0.5, 1), (1, 0.5), (0.5, 0.5), (0.4, 0.9)], 0.75),
        ([(1.3, 0.5), (-0.2, 2)], 0.5),
    ],
)
def test_area_under_front_is_the_share_of_the_square_that_is_dominated(points, area):
    assert area_under_front(np.array(points, float)) == pytest.approx(area)


def test_area_under_front_equals_counting_and_never_falls_with_a_point_more():
    rng = np.random.RandomState(2)
    for _ in range(20):
        points = rng.rand(6, 2)
        asked = rng.rand(20_000, 2)
        dominated = (asked[:, None] <= points).all(-1).any(1).mean()
        assert area_under_front(points) == pytest.approx(dominated, abs=0.02)
        assert area_under_front(points[:5]) <= area_under_front(points)


def test_front_keeps_the_undominated_and_value_at_walks_along_it():
    points = np.array([(0.2, 0.9), (0.8, 0.3), (0.5, 0.2)])
    assert pareto_front(points).tolist() == [[0.2, 0.9], [0.8, 0.3]]
    assert value_at(points, 0.5) == pytest.approx(0.6)
    assert value_at(points, 0.1) == pytest.approx(0.9)
    assert value_at(points, 0.81) == 0


def reading(place="snow", position="left", accessory=None, object_=None, colour=None) -> Reading:
    return Reading((FigureReading("cat", position, accessory, TRAITS, (0, 6)),), place, object_, colour)


def test_only_named_attributes_count_and_the_class_never_does():
    caption = Caption("dog", place="snow", object="ball", object_colour="red")
    assert attributes_right(caption, reading(object_="ball", colour="red")) == {
        "place": True, "object": True, "object_colour": True,
    }  # fmt: skip
    assert attributes_right(Caption("dog"), reading()) == {}


def test_a_picture_without_a_figure_or_the_object_has_their_attributes_wrong():
    caption = Caption("cat", place="snow", position="left", accessory="hat", object="ball", object_colour="red")
    empty = Reading((), "snow", "box", "red")
    assert attributes_right(caption, empty) == {
        "place": True, "position": False, "accessory": False, "object": False, "object_colour": False,
    }  # fmt: skip


def test_identity_is_0_at_the_class_word_and_1_at_the_ceiling():
    assert [scaled_identity(raw, 0.3, 0.9) for raw in (0.3, 0.9, 0.6)] == pytest.approx([0, 1, 0.5])


def test_leakage_looks_only_at_traits_that_tell_the_two_apart():
    other = Traits("green", "blue", "spots", "none")
    assert leaked_traits(TRAITS, TRAITS, other) == [False, False]
    assert leaked_traits(Traits("green", "blue", "stripes", "none"), TRAITS, other) == [True, False]
    assert leaked_traits(other, TRAITS, TRAITS) == []


def test_verdicts_need_the_whole_interval():
    right, unclear, wrong = mean_interval([0.1, 0.2]), mean_interval([-0.1, 0.2]), mean_interval([-0.1, -0.2])
    assert [verdict(interval) for interval in (right, unclear, wrong)] == ["right", "not shown", "wrong"]
    assert verdict(right, largest=0.1) == "wrong"


def test_prompts_are_unseen_distinct_and_elsewhere():
    individual = Subject(0).individual()
    prompts = unseen_prompts(individual, 20, 3)
    assert len(set(prompts)) == 20
    assert not set(prompts) & set(training_captions())
    assert individual.place not in {caption.place for caption in prompts} <= set(art.PLACES)
    assert unseen_prompts(individual, 8, 3) == prompts[:8]


def test_prompts_of_two_say_who_stands_where_in_turn_and_are_elsewhere():
    pair = Subject(0), Subject(1)
    plain, positioned = (texts_of(*grouped(drawing_of(OURS), [pair], 12, positions)) for positions in (False, True))
    sides = [tuple(re.findall("on the (left|right)", text)) for text in positioned]
    assert sides == [("left", "right"), ("right", "left")] * 6
    assert [re.sub(" on the (left|right)", "", text) for text in positioned] == plain
    for text in plain:
        assert re.search("<one> and a <two>", text)
        assert not any(art.PLACES[subject.individual().place][0] in text for subject in pair)
    assert len(set(plain)) == 12


def test_companions_are_of_every_other_class_named_before_and_after_the_concept():
    subject, own = Subject(0), Subject(0).individual().class_word
    drawing = replace(drawing_of(OURS, subject), scene=BESIDE)
    captions, texts = [(c, side_of(c, own)) for c in companion_captions(subject)], texts_of(drawing)
    assert len(captions) == len(texts) == 2 * (len(art.SPRITES) - 1)
    assert Counter(tuple(sorted((c.class_word, c.partner))) for c, _ in captions) == {
        tuple(sorted((own, other))): 2 for other in art.SPRITES if other != own
    }
    for (caption, side), text in zip(captions, texts, strict=True):
        assert caption.place != subject.individual().place
        assert re.search(rf"<concept>( wearing a \w+)? on the {side}", text) and own not in text.split()
    assert Counter(text.index("<concept>") < text.index(" and a ") for text in texts) == {True: 7, False: 7}
    assert Counter(side for _, side in captions) == {"left": 7, "right": 7}
    plain = texts_of(replace(drawing_of(BASE, subject), scene=BESIDE))
    assert words_of(drawing) == ("<concept>",) and plain == [text.replace("<concept>", own) for text in texts]


def test_a_companion_is_right_where_it_was_named_and_wears_the_concept_s_traits_or_not():
    own, other = list(art.SPRITES)[:2]
    caption = Caption(other, place="beach", position="left", partner=own)
    mine = ("red", "blue", "stripes", "none")

    def read(*figures: FigureReading) -> tuple[float, float, float]:
        return companion_row(caption, own, mine, Reading(figures, "beach", None, None))

    concept = FigureReading(own, "right", None, Traits(*mine), (8, 6))
    companion = FigureReading(other, "left", None, Traits("red", "green", "stripes", "spot"), (0, 6))
    assert read(concept, companion) == (1, 1, 0.5)
    assert read(replace(companion, position="middle"))[0] == 0
    placed, place, worn = read(concept)
    assert (placed, place) == (0, 1) and np.isnan(worn)


def test_companion_points_are_one_at_full_identity_with_no_more_traits_than_chance():
    samples = np.zeros((3, 4, 4))
    samples[:, :, IDENTITY] = 0.2, 1.0, 0.6, 0.2
    samples[:, :, TAKEN] = 0.25, 0.25, 0.625, 1.0
    np.testing.assert_allclose(beside_points(samples), [(1, 1), (0.5, 0.5), (0, 0)], atol=1e-12)


def test_every_subject_is_in_six_different_threes():
    subjects = [Subject(index) for index in range(8)]
    threes = circles(subjects)
    assert len({frozenset(three) for three in threes}) == len(threes) == 16
    assert set(Counter(subject for three in threes for subject in three).values()) == {6}
    assert circles(subjects[:3]) == circles(subjects[:2]) == []


def test_prompts_of_three_say_who_stands_where_in_turn_or_nothing():
    three = [Subject(0), Subject(1), Subject(2)]
    plain, positioned = (texts_of(*grouped(drawing_of(OURS), [three], 6, positions)) for positions in (False, True))
    assert all("<one> and a <two> and a <three>" in text for text in plain)
    placed = [re.findall(r"(?:on the|in the) (left|middle|right)", text) for text in positioned]
    assert placed == [["left", "middle", "right"], ["right", "middle", "left"]] * 3


def test_three_subjects_have_a_wider_picture_and_results_of_their_own():
    subjects = [Subject(index) for index in range(3)]
    assert art.width_for(2) == art.SIZE < art.width_for(3) == art.WIDE
    groups = [subjects, subjects[:2]]
    keys = {result_key(each) for at in (False, True) for each in grouped(drawing_of(OURS), groups, 8, at)}
    assert len(keys) == 4


def test_reported_and_tuning_individuals_are_different_and_cover_all_classes():
    reported = [Subject(index).individual() for index in range(8)]
    assert {individual.class_word for individual in reported} == set(art.SPRITES)
    assert not set(reported) & {Subject(index, tuning=True).individual() for index in range(3)}


def test_a_result_has_another_name_as_soon_as_anything_that_decides_it_differs():
    drawing = Drawing((Learning("ours", Subject(0)),))
    variants = [drawing, drawing.of(Subject(1)), drawing.of(Subject(0, True)), Drawing(drawing.learnings, seeds=2)]
    assert len({result_key(variant) for variant in variants}) == len(variants)


def test_store_returns_what_was_kept_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    assert store.record("drawing", "a") is None and store.tensors("learned", "a") is None
    store.keep_record("drawing", "a", {"rows": [1.5]})
    store.keep_tensors("learned", "a", {"word": torch.arange(3.0)})
    assert Store(tmp_path).record("drawing", "a") == {"rows": [1.5]}
    assert torch.equal(Store(tmp_path).tensors("learned", "a")["word"], torch.arange(3.0))


def test_two_adapters_add_up_and_two_weight_changes_leave_nothing_behind():
    module, x = nn.Linear(5, 4), torch.randn(2, 5)
    before = module(x)
    one, two = ((torch.randn(2, 5), torch.randn(4, 2)) for _ in range(2))
    with adapted({"layer": module}, {"layer": one}), adapted({"layer": module}, {"layer": two}):
        both = module(x)
    changes = [{"weight": up @ down} for down, up in (one, two)]
    with moved_weights(module, changes[0]), moved_weights(module, changes[1]):
        assert torch.allclose(module(x), both, atol=1e-5) and not torch.allclose(both, before)
    assert torch.equal(module(x), before)


@pytest.mark.parametrize("method", [WORD, RESIDUAL])
def test_learned_words_stand_where_the_prompt_names_them_each_after_its_class_s_first_words(method):
    bear = next(index for index, word in enumerate(CLASSES) if " " in word)
    vectors = torch.randn(2, 768)
    taught = [
        Taught(Learning(method, Subject(index)), {"word": vector}, word)
        for index, vector, word in zip((bear, 0), vectors, ("<one>", "<two>"), strict=True)
    ]
    texts = spelled(taught, ["a photo of a <two> and a <one>", "a photo of a <one>"])
    assert texts[1] == f"a photo of a {CLASSES[bear].split()[0]} <one>"
    words = learned_words(taught, Dial(strength=0.5))
    plain = the_world().text_encoder.word_embedding(CLASSES[0].split()[-1])
    expected = (plain + vectors[1]) / 2 if method == WORD else vectors[1]
    assert torch.allclose(words["<two>"], expected, atol=1e-6)
    _, positions = encode(texts, words)
    assert positions.nonzero().tolist() == [[0, 5, 1], [0, 9, 0], [1, 6, 0]]


@pytest.mark.parametrize("module", [nn.Linear(5, 4), nn.Conv2d(5, 4, 3, stride=2, padding=1)])
def test_adapter_equals_the_changed_weight_and_leaves_nothing_behind(module):
    x = torch.randn(2, 5) if isinstance(module, nn.Linear) else torch.randn(2, 5, 6, 6)
    before = module(x)
    pairs = new_pairs({"layer": module}, 2, seed=0)
    with adapted({"layer": module}, pairs):
        assert torch.equal(module(x), before)
    down, up = pairs["layer"][0].detach(), torch.randn(4, 2)
    with adapted({"layer": module}, {"layer": (down, up)}, 0.5):
        changed = module(x)
    assert torch.equal(module(x), before)
    assert not torch.allclose(changed, before)
    with moved_weights(module, {"weight": (up @ down.flatten(1)).view_as(module.weight)}, 0.5):
        assert torch.allclose(module(x), changed, atol=1e-5)
    assert torch.equal(module(x), before)

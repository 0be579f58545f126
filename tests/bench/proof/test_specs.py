"""What decides a result, and so its name."""

from __future__ import annotations

from dataclasses import replace

from pixelworld import art
from proof.recipes import drawing_of
from proof.specs import POSITION, POSITION_LATER, Drawing, Learning, Subject, result_key


def test_reported_and_tuning_individuals_are_different_and_cover_all_classes():
    """Settings were not chosen on the subjects that the results report."""
    reported = [Subject(index).individual() for index in range(8)]
    assert {individual.class_word for individual in reported} == set(art.SPRITES)
    assert not set(reported) & {Subject(index, tuning=True).individual() for index in range(3)}


def test_a_result_has_another_name_as_soon_as_anything_that_decides_it_differs():
    """No figure is read from a result that was computed under other settings."""
    drawing = Drawing((Learning("ours", Subject(0)),))
    variants = [drawing, drawing.of(Subject(1)), drawing.of(Subject(0, True)), Drawing(drawing.learnings, seeds=2)]
    assert len({result_key(variant) for variant in variants}) == len(variants)


def test_the_later_half_is_the_position_gate_in_fewer_layers():
    """A table that compares the two must not compare two gates."""
    every, later = (drawing_of(method).learnings[0].settings() for method in (POSITION, POSITION_LATER))
    assert replace(later, layers=every.layers) == every != later

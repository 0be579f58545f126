"""Prompt templates: one place for the concept, filled with its word or its superclass."""

from __future__ import annotations

import pytest

from perfusion_ops.text.prompts import DEFAULT_TEMPLATES, fill_template, split_template


def test_a_template_is_filled_where_it_says():
    """Training and previews name the concept where the user wrote the braces."""
    assert fill_template("my {}'s hat", "teddy bear") == "my teddy bear's hat"
    assert split_template("{}") == ("", "")


@pytest.mark.parametrize(("template", "places"), [("a photo", 0), ("a {} and a {}", 2), ("", 0), ("a { }", 0)])
def test_a_template_with_no_place_or_several_is_refused(template, places):
    """Who forgets the braces, or writes them twice, reads what to write; the concept would silently not be named."""
    with pytest.raises(ValueError, match=f"has {places} places for the concept; write exactly one {{}}"):
        split_template(template)


def test_the_default_templates_are_different_and_each_names_the_concept_once():
    """Who leaves the templates empty trains on as many sentences as the help says."""
    assert len(set(DEFAULT_TEMPLATES)) == len(DEFAULT_TEMPLATES)
    assert all(fill_template(template, "x") != template for template in DEFAULT_TEMPLATES)

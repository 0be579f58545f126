"""The prompts of the proof: unseen, elsewhere, and fair to everyone in the picture."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from pixelworld import art
from pixelworld.train import training_captions
from proof.recipes import drawing_of
from proof.scenes import companion_captions, side_of, texts_of, unseen_prompts, words_of
from proof.specs import BASE, BESIDE, OURS, Subject
from proof.tables import grouped


def test_prompts_are_unseen_distinct_and_elsewhere():
    """The proof asks for scenes that no method has trained on."""
    individual = Subject(0).individual()
    prompts = unseen_prompts(individual, 20, 3)
    assert len(set(prompts)) == 20
    assert not set(prompts) & set(training_captions())
    assert individual.place not in {caption.place for caption in prompts} <= set(art.PLACES)
    assert unseen_prompts(individual, 8, 3) == prompts[:8]


def test_prompts_of_two_say_who_stands_where_in_turn_and_are_elsewhere():
    """Neither of two subjects is favoured by its place in the prompt or the picture."""
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
    """What a concept does to others is measured for every class, and on both sides."""
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


def test_prompts_of_three_say_who_stands_where_in_turn_or_nothing():
    """None of three subjects is favoured by its place in the picture."""
    three = [Subject(0), Subject(1), Subject(2)]
    plain, positioned = (texts_of(*grouped(drawing_of(OURS), [three], 6, positions)) for positions in (False, True))
    assert all("<one> and a <two> and a <three>" in text for text in plain)
    placed = [re.findall(r"(?:on the|in the) (left|middle|right)", text) for text in positioned]
    assert placed == [["left", "middle", "right"], ["right", "middle", "left"]] * 3

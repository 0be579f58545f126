"""Train Perfusion Concept refuses wrong texts, pictures and masks by a sentence that says what to do."""

from __future__ import annotations

import re

import pytest

from builders.server import WorkflowError
from builders.workflows import Workflow, image_list, load, train, training_pictures


@pytest.fixture(scope="module")
def shots(server):
    return training_pictures(server.folder)


BAD = {
    "word with a bracket": ({"word": "(box)"}, "expected a word without brackets"),
    "empty superclass": ({"superclass": "  "}, "expected one or several words, such as 'teddy bear'"),
    "two captions for one": ({"captions": "a {}"}, "There are 2 pictures and 1 captions"),
    "template without a place": ({"templates": "a photo"}, "names the concept 0 times; write {} once"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_texts_are_refused_with_a_sentence(server, shots, case):
    """Who mistypes a word, a superclass, a caption or a template reads what to write."""
    settings, sentence = BAD[case]
    graph = Workflow()
    train(graph, image_list(graph, *shots[:2]), load(graph), **settings)
    with pytest.raises(WorkflowError, match=re.escape(sentence)):
        server.run(graph)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("nan", "Picture 1 holds pixels that are not numbers"),
        ("empty", "No training pictures are connected; expected at least one"),
    ],
)
def test_wrong_pictures_are_refused_with_a_sentence(server, shots, how, sentence):
    """Broken pictures are named by their number, and not learned as noise."""
    graph = Workflow()
    first = graph.add("LoadImage", image=shots[0])[0]
    train(graph, graph.add("HelperSpoil", image=first, how=how)[0], load(graph))
    with pytest.raises(WorkflowError, match=sentence):
        server.run(graph)


@pytest.mark.parametrize(
    ("size", "value", "sentence"),
    [
        ((32, 32), 1.0, "Mask 1 is 32 x 32 pixels and its picture 64 x 64; expected the same size"),
        ((64, 64), 0.0, "Mask 1 is empty"),
    ],
)
def test_wrong_masks_are_refused_with_a_sentence(server, shots, size, value, sentence):
    """A mask that does not fit is named by its number, and not stretched or ignored."""
    graph = Workflow()
    first = graph.add("LoadImage", image=shots[0])[0]
    mask = graph.add("SolidMask", value=value, width=size[0], height=size[1])[0]
    train(graph, first, load(graph), masks=mask)
    with pytest.raises(WorkflowError, match=sentence):
        server.run(graph)

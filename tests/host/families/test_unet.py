"""SD 2.x and SDXL: one concept word in every text encoder, other widths, other layers; and mismatches."""

from __future__ import annotations

import numpy as np
import pytest

from builders.judging_nodes import PLAIN, USERS, evaluate, scored_by_vision
from builders.server import Server, WorkflowError
from builders.vision_files import write_vision_file
from builders.workflows import Workflow, image_list, load, mean_difference, picture, train, training_pictures

TITLES = {"sd2": "SD 2.x", "sdxl": "SDXL"}
FAMILIES = ["sd2", pytest.param("sdxl", marks=pytest.mark.slow)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_applies_trains_and_refuses_concepts_of_another(comfyui_path, host_folder, family):
    """SD 2.x and SDXL draw and train, a concept for another family is refused by name."""
    folder = host_folder(family, "sd1")
    prompts = {"prompt": "a photo of a teddy_t", "family": family, "steps": 1}
    concept = f"{family}_teddy.safetensors"
    with Server(comfyui_path, folder) as server:

        def draw(*arguments, **settings):
            graph, node = picture(*arguments, **settings)
            return server.pictures(server.run(graph), node)

        plain = draw("a photo of a bear", family=family, steps=1)
        assert mean_difference(draw(concepts=[(concept, {})], **prompts), plain) > 1
        np.testing.assert_array_equal(
            draw("a photo of a bear", [(concept, {})], family=family, steps=1), plain
        )
        zero = draw(concepts=[(concept, {"visual_strength": 0.0})], **prompts)
        np.testing.assert_array_equal(zero, plain)
        with pytest.raises(WorkflowError, match=f"was trained for SD 1.x, and this model is {TITLES[family]}"):
            draw(concepts=[("teddy.safetensors", {})], **prompts)
        shots = training_pictures(folder, 2)
        graph = Workflow()
        train(graph, image_list(graph, *shots), load(graph, family), word="newbox", steps=1, batch_size=1)
        server.run(graph)
        (trained,) = (folder / "output/perfusion/trained").glob("newbox_*.safetensors")
        drawn = draw("a photo of a newbox", [(f"trained/{trained.name}", {"bias": 0.6})], family=family, steps=1)
        assert drawn.shape == plain.shape
        if family == "sd2":
            agreement_is_with_the_prompt(server)


def agreement_is_with_the_prompt(server) -> None:
    """The text encoder of SD 2.x is the other half of a CLIP vision model: the scale of the scores keeps its ends."""
    write_vision_file(server.folder / "models/clip_vision/narrow.safetensors", "h")
    rows, said = scored_by_vision(server, evaluate, "sd2")
    assert rows[0][2:4] == PLAIN and rows[1][2] == USERS[0]
    assert "the prompt's encoding by the text encoder" in said

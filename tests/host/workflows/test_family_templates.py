"""Official templates of today's models on a server, with the concept's nodes in them: small files, the host's loaders.

All of them are run by ``python dev.py bench templates``. Here are those that differ most: a checkpoint with Gemma's
sentencepiece inside, custom sampling with a guidance and Mistral's tokenizer, two experts of one CLIP, a picture that
CLIP sees and that begins to move, a film and a sound that are followed; and with a second network, a ControlNet, a
patch of a turbo model, and a style that puts tokens into the text.
"""

from __future__ import annotations

import pytest

from builders.family_templates import templates
from builders.server import Server
from builders.template_trial import Case, Trial, good, prepare

pytestmark = pytest.mark.slow
SAMPLE = ("image_flux2_text_to_image", "image_netayume_lumina_t2i", "video_wan2_2_14B_t2v", "wan2.1_fun_inp")
SAMPLE += ("image_qwen_Image_2512_controlnet", "image_z_image_turbo_fun_union_controlnet")
SAMPLE += ("flux1_dev_uso_reference_image_gen, nothing bypassed", "video_wan_vace_14B_v2v", "video_humo")
TRAINED = "video_wan2_2_14B_t2v"


@pytest.fixture(scope="module")
def found():
    found = {template.name: template for template in templates() if template.name in SAMPLE}
    if not found:
        pytest.skip("comfyui-workflow-templates has none of these templates")
    return found


@pytest.fixture(scope="module")
def trial(comfyui_path, tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("families")
    prepare(folder, list(found.values()), [], comfyui_path)
    with Server(comfyui_path, folder) as server:
        yield Trial(server)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_template_with_the_concept_draws_it_and_nothing_else_changes(trial, found, name):
    """A user puts the two nodes into an official template and finds the concept where the word is, only there."""
    if name not in found:
        pytest.skip(f"comfyui-workflow-templates has no {name}")
    row = trial.drawn(Case.of(found[name], trial.server))
    assert good(row), row


def test_training_in_a_template_hands_its_concept_on(trial, found):
    """A user trains with what the template's loaders give, and draws in the same workflow."""
    if TRAINED not in found:
        pytest.skip(f"comfyui-workflow-templates has no {TRAINED}")
    row = trial.trained(Case.of(found[TRAINED], trial.server), "shot0.png")
    assert good(row), row

"""A training before its first step: which run it is, and what it refuses at once."""

from __future__ import annotations

import dataclasses
import importlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from builders.places import PACK
from builders.schema_snapshot import read_snapshot

FILMS = SimpleNamespace(latent_channels=16, latent_dim=3)
FLUX2 = SimpleNamespace(latent_channels=128, latent_dim=2)
SCHEMA = read_snapshot()["PerfusionTrainConcept"]


def bare(pack, **changes):
    """One and the same training without a model, but for ``changes``."""
    torch.manual_seed(0)
    fields = {
        "model": None,
        "clip": SimpleNamespace(layer_idx=None),
        "vae": SimpleNamespace(first_stage_model=nn.Linear(128, 128)),
        "word": "teddy",
        "superclass": "bear",
        "shots": [pack.pictures.Shot(torch.ones(8, 8, 3), None)],
        "templates": ("a {}",),
        "captions": (),
        "settings": pack.ops.TrainingSettings(),
        "statistics": None,
        "dtype": "auto",
        "gradient_checkpointing": False,
        "preview_every": 0,
        "preview_prompt": "a {}",
    }
    return pack.run.Training(**(fields | changes))


def run_key(pack, base: str = "base", statistics: str = "statistics", **changes) -> str:
    """The key of that training."""
    return bare(pack, **changes)._key(base, SimpleNamespace(fingerprint=statistics))


def test_another_text_encoder_is_another_training(pack, loaded):
    """Who corrects a wrong CLIP, or its type, with the position gate trains anew and is not given the wrong concept."""
    settings = pack.ops.TrainingSettings(gate_kind=pack.ops.GateKind.POSITION)
    clip = loaded[1]

    def key(clip) -> str:
        return run_key(pack, clip=clip, settings=settings)

    options, kind, weights = clip.clone(), clip.clone(), clip.clone()
    options.set_tokenizer_option("min_padding", 1)
    kind.tokenizer = type("AnotherTemplate", (type(clip.tokenizer),), {})()
    name = next(name for name, weight in clip.patcher.model.named_parameters() if "q_proj.weight" in name)
    change = torch.ones_like(clip.patcher.model.get_parameter(name))
    weights.patcher.add_patches({name: (change,)}, 1.0)
    assert key(clip) == key(clip.clone())
    assert len({key(each) for each in (clip, options, kind, weights)}) == 4


def test_another_first_stage_or_layer_of_the_text_encoder_is_another_training(pack):
    """Whoever connects the right VAE after a wrong one gets a new concept, and not the wrong one's again."""
    key = run_key(pack)
    assert run_key(pack) == key == run_key(pack, preview_every=5, gradient_checkpointing=True)
    assert run_key(pack, vae=SimpleNamespace(first_stage_model=nn.Linear(128, 128))) != key
    assert run_key(pack, clip=SimpleNamespace(layer_idx=-2)) != key


def test_everything_that_decides_a_concept_is_in_its_name(pack):
    """A training that differs in it would be answered with the finished concept of another."""
    pixels, settings = torch.ones(8, 8, 3), pack.ops.TrainingSettings()
    shots = [pack.pictures.Shot(pixels, torch.ones(8, 8)), pack.pictures.Shot(pixels, torch.eye(8))]
    changes = [{"shots": [shot]} for shot in shots] + [{"shots": [pack.pictures.Shot(0.5 * pixels, None)]}]
    changes += [{"captions": ("a {}",)}, {"templates": ("the {}",)}, {"superclass": "cat"}, {"word": "bear_b"}]
    changes += [{"dtype": "bfloat16"}, {"base": "another"}, {"statistics": "others"}]
    decided = {"seed": 1, "steps": 7, "flip": False, "value_learning_rate": 0.5, "batch_size": 2}
    decided |= {"gate": pack.ops.Gate(0.5, 0.1), "key_locking": pack.ops.KeyLocking.EXACT}
    changes += [{"settings": dataclasses.replace(settings, **{name: value})} for name, value in decided.items()]
    keys = [run_key(pack), *(run_key(pack, **change) for change in changes)]
    assert len(set(keys)) == len(keys)
    assert run_key(pack, settings=dataclasses.replace(settings, micro_batch=1, report_every=3)) == keys[0]


@pytest.fixture
def inputs(loaded):
    """``inputs(...)``: what the host hands Train Perfusion Concept, one list for each input, but for changes."""

    def make(**changes) -> dict[str, list]:
        values = {
            "model": loaded[0],
            "clip": loaded[1],
            "vae": None,
            "images": torch.full((1, 64, 64, 3), 0.5),
            **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
            "word": "teddy",
            "superclass": "bear",
            "seed": 2**63 - 1,
        }
        return {name: [value] for name, value in (values | changes).items()}

    return make


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"word": "é" * 33}, "The concept has 66 bytes of word; expected at most 64. Shorten it."),
        ({"superclass": "b" * 65}, "The concept has 65 bytes of superclass; expected at most 64. Shorten it."),
        ({"word": "Bear"}, "which is the superclass too: every bear in a prompt would be your subject"),
        ({"superclass": "Teddy bear"}, "which is a word of the superclass 'Teddy bear' too: every Teddy bear in"),
        ({"captions": "a {} on" + 76 * " red"}, "'... is longer than 75 tokens; shorten it for training"),
        ({"superclass": "(bear:1.2)"}, "The superclass is '(bear:1.2)' with '(' ')'; expected one or several words"),
        ({"superclass": "embedding:bear"}, "is 'embedding:bear' with 'embedding:'; expected one or several words"),
        ({"word": "photo"}, "which is also a word of the sentence 'a photo of a {}'"),
        ({"vae": FILMS}, "makes latents of 16 channels for films, and this SD 1.x model reads latents of 4"),
        ({"vae": FLUX2}, "makes latents of 128 channels for pictures, and this SD 1.x model reads latents of 4"),
        ({"preview_prompt": ""}, "has 0 places for the concept; write exactly one {}"),
        ({"preview_prompt": "a {}\nthe {}"}, "has 2 places for the concept; write exactly one {}"),
    ],
)
def test_what_would_fail_after_hundreds_of_steps_is_refused_at_once(pack, inputs, changes, sentence):
    """A long training does not end in an error that was known before its first step."""
    with pytest.raises(ValueError) as caught:
        pack.run.Training.of(inputs(**changes))
    assert sentence in str(caught.value)


def test_a_long_caption_is_taken_where_chunks_are(pack, inputs):
    """A position gate reads captions of any length, as drawing does."""
    caption = "a {} on" + 76 * " red"
    assert pack.run.Training.of(inputs(gate="position", captions=caption)).captions == (caption,)


def test_a_concept_on_the_model_or_clip_is_refused_by_its_word_and_else_told(pack, inputs, loaded, pack_concept):
    """Whose training is connected to Apply learns it before the first preview, and not from its error."""
    applied = pack.applying.put_in_effect(
        *loaded, pack_concept("Teddy", "dog"), 1.0, pack.ops.Gate(), pack.ops.KeyLocking.LOCAL
    )
    for changes in ({"model": applied.model}, {"clip": applied.clip}):
        with pytest.raises(ValueError, match="has a concept of this word already. Connect both from the loader"):
            pack.run.Training.of(inputs(**changes))
    training = pack.run.Training.of(inputs(model=applied.model, word="bruno"))
    assert "has 'Teddy' from Apply" in pack.checks.left_out(training.model, training.clip)
    assert pack.checks.left_out(*loaded) is None


def test_a_preview_prompt_that_is_never_drawn_is_not_asked_for(pack, inputs):
    """With previews off, an empty preview prompt is no error."""
    assert pack.run.Training.of(inputs(preview_every=0, preview_prompt="")).preview_every == 0


def test_the_longest_names_that_are_taken_can_be_saved(pack, inputs, pack_concept, tmp_path):
    """A word and a superclass that training takes can be saved when it ends."""
    save = importlib.import_module(f"{PACK}.perfusion_ops.concept.file").save_concept
    training = pack.run.Training.of(inputs(word="é" * 32, superclass="b" * 64))
    concept = pack_concept(training.word, training.superclass)
    metadata = dict.fromkeys(("encoder", "base_model", "statistics"), "0123456789abcdef")
    trained = dataclasses.replace(concept, metadata=metadata | {"training": training.settings.as_text(10_000)})
    save(trained, tmp_path / "long.safetensors")
    assert (tmp_path / "long.safetensors").stat().st_size <= 32_768


def test_a_model_that_also_reads_a_masked_picture_is_refused(pack, inputs, loaded, monkeypatch):
    """An inpainting checkpoint is refused by a sentence, and not by an error from inside the model."""
    monkeypatch.setitem(loaded[0].model.model_config.unet_config, "in_channels", 9)
    with pytest.raises(ValueError, match="reads 9 channels, as inpainting and editing models do; training expects"):
        pack.run.Training.of(inputs())


def test_the_clip_of_another_model_is_refused_before_anything_is_measured(pack, inputs, load_checkpoint, monkeypatch):
    """Who connects another model's CLIP does not wait for minutes of statistics for an error about matrices."""
    monkeypatch.setattr(pack.run, "_measured_statistics", lambda *_inputs: pytest.fail("measured"))
    training = pack.run.Training.of(inputs(clip=load_checkpoint("sd2")[1]))
    expected = "This CLIP gives 1024 numbers for each token, and this SD 1.x model reads 768."
    with pytest.raises(ValueError, match=expected):
        training.run()


VAE = SimpleNamespace(first_stage_model=nn.Linear(128, 128))


@pytest.fixture
def statistics(pack, monkeypatch, tmp_path):
    """Text statistics to connect, and a folder of its own for what is trained with them."""
    monkeypatch.setattr(pack.folders, "output_folder", lambda: tmp_path)
    return importlib.import_module(f"{PACK}.perfusion_ops.text.covariance").UncenteredCovariance(768)


def test_a_training_that_is_taken_from_disk_encodes_nothing_first(pack, inputs, statistics, monkeypatch):
    """Every queue of a workflow would wait for a text encoder, to check what the training has checked."""
    monkeypatch.setattr(pack.run.RunFiles, "finished", lambda *_: SimpleNamespace(losses=[0.5]))
    monkeypatch.setattr(pack.run, "check_text", lambda *_: pytest.fail("a prompt was encoded"))
    assert pack.run.Training.of(inputs(statistics=statistics, vae=VAE)).run().losses == [0.5]


def test_the_clip_of_another_model_is_refused_beside_connected_statistics(pack, inputs, statistics, load_checkpoint):
    """With statistics at hand, the wrong CLIP would be found by an error about matrices."""
    clip = load_checkpoint("sd2")[1]
    training = pack.run.Training.of(inputs(statistics=statistics, clip=clip, vae=VAE))
    with pytest.raises(ValueError, match="This CLIP gives 1024 numbers for each token, and this SD 1.x model reads"):
        training.run()


def test_a_disk_that_is_full_at_the_end_costs_the_file_and_not_the_training(
    pack, pack_concept, statistics, monkeypatch, caplog
):
    """An hour's training would be lost in its last second, though the next node could still take it."""

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    progress, files = pack.progress.Progress(2, 0, None), pack.run.RunFiles.of("teddy", "0123456789ab")
    concept = pack_concept("teddy", "bear")
    monkeypatch.setattr("os.fsync", full)
    result = SimpleNamespace(concept=concept, losses=(0.5, 0.25))
    finished = bare(pack)._kept(result, files, files.snapshots(0, 2), progress)
    assert finished.concept is concept and finished.losses == [0.5, 0.25]
    assert "Trained, but not kept: " in caplog.text and "No space left on device" in caplog.text

"""Concepts of other implementations in the real host: they edit as their own program does, and the report says so."""

from __future__ import annotations

import pytest
import torch

from builders.peer_files import key_locked_content, key_locked_file, perfusion_pytorch_file

TRAINED = (4, 5, 6)


@pytest.fixture(scope="module")
def projections(pack, loaded):
    return pack.family.projections(loaded[0])


@pytest.fixture(scope="module")
def encodings():
    return torch.randn(2, 77, 768, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def theirs(pack, loaded, projections, encodings, tmp_path_factory):
    """A file that perfusion-pytorch itself saved: its word, its modules, our concept and the report."""
    pytest.importorskip("perfusion_pytorch")
    path = tmp_path_factory.mktemp("peers") / "cat.pt"
    word, modules = perfusion_pytorch_file(path, projections, encodings)
    concept, report = pack.importing.imported(path, "my_cat", "cat", *loaded, 1)
    return word, modules, concept, report, path


def ours(pack, concept, projections, encodings, layer):
    """Keys and values of one layer of the host's model, as the edit makes them."""
    edit = pack.ops.JointEdit.of([pack.ops.EditTerm(concept, pack.ops.Gate(0.7, 0.15))])
    context, (to_k, to_v) = edit.contexts(encodings), projections[layer]
    values = context.values @ to_v.weight.float().mT + edit.value_delta(layer, context.gates)
    return context.keys @ to_k.weight.float().mT, values


def test_a_file_of_perfusion_pytorch_edits_every_layer_as_its_own_modules_do(pack, theirs, projections, encodings):
    """A user's trained subject would look different after the import."""
    word, modules, concept, _report, _path = theirs
    assert torch.equal(concept.word_embeddings["l"], word)
    for layer, (key, value) in modules.items():
        for found, module in zip(ours(pack, concept, projections, encodings, layer), (key, value), strict=True):
            expected = module(encodings).detach()
            assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
            assert (expected - encodings @ module.weight.mT).abs().max() > 0.01 * expected.abs().max(), "it edits"


def test_the_report_says_what_was_kept_and_how_exact_it_is(theirs):
    """A user would not know what an import cost, nor how to draw as before."""
    report = theirs[3]
    assert "perfusion-pytorch" in report and "bias 0.7" in report and "start-of-text" in report
    assert "Warning" not in report


def test_a_file_of_another_checkpoint_is_told_by_its_keys(pack, loaded, theirs, tmp_path):
    """Who connects the wrong checkpoint would see another subject and not know why."""
    package = torch.load(theirs[4], weights_only=True)
    for pair in package["key_value_params"][::2]:
        pair[1] += pair[1].roll(1)
    torch.save(package, tmp_path / "other.pt")
    assert "Warning" in pack.importing.imported(tmp_path / "other.pt", "my_cat", "cat", *loaded, 1)[1]


def test_a_file_by_position_keeps_the_mean_over_the_trained_places(pack, loaded, projections, encodings, tmp_path):
    """The look that was trained at some places of the prompt would be thinned by the 70 that were not."""
    content = key_locked_content(projections, TRAINED)
    key_locked_file(tmp_path / "cat.ckpt", content)
    concept, report = pack.importing.imported(tmp_path / "cat.ckpt", "my_cat", "cat", *loaded, 1)
    assert torch.equal(concept.word_embeddings["l"], content.embedding[0])
    assert "4, 5, 6" in report and "77 vectors a layer" in report
    metric = content.inverse @ content.target_input
    similarity = encodings[:, 5] @ metric / (metric @ content.target_input)
    gate = torch.sigmoid((similarity - 0.7) / 0.15)[:, None]
    rest = encodings[:, 5] - similarity[:, None] * content.target_input
    for layer, pair in projections.items():
        for found, projection, part in zip(
            ours(pack, concept, projections, encodings, layer), pair, ("to_k", "to_v"), strict=True
        ):
            output = content.outputs[f"{layer}.{part}.target_output"][5]
            expected = rest @ projection.weight.float().mT + gate * output
            assert (found[:, 5] - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"key_value_params": []}, "holds outputs of 0 projections; expected 14"),
        ({"C_inv": torch.eye(3)}, "has a 'C_inv' of shape"),
        ({"embed_params": None}, "the word's embedding"),
        ({"C_inv": torch.full((768, 768), float("nan"))}, "not finite"),
        ({"embed_params": torch.zeros(1, 1024)}, "width 1024"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(pack, loaded, theirs, tmp_path, change, sentence):
    """A file of another kind would end in a traceback, or draw nonsense."""
    package = torch.load(theirs[4], weights_only=True) | change
    torch.save(package, tmp_path / "cat.pt")
    with pytest.raises(ValueError, match=sentence):
        pack.importing.imported(tmp_path / "cat.pt", "my_cat", "cat", *loaded, 1)


def test_diffusers_order_is_told_by_the_widths(pack):
    """The middle block's look would go to another layer: diffusers registers it last."""
    files = pack.importing.parse_peer.__globals__
    layers = {"input_blocks.1.attn2": 320, "middle_block.1.attn2": 1280, "output_blocks.3.attn2": 640}
    assert files["_named"](layers, [320, 1280, 640])[0] == "original Stable Diffusion"
    assert files["_named"](layers, [320, 640, 1280]) == (
        "diffusers",
        ["input_blocks.1.attn2", "output_blocks.3.attn2", "middle_block.1.attn2"],
    )

"""From pictures and words to a concept and a picture, in a family with text cross-attention that is no U-Net."""

from __future__ import annotations

import pytest
import torch

from builders.cross_models import cross_clip, cross_model
from builders.family_first_stages import first_stage
from builders.schema_snapshot import read_snapshot

SCHEMA = read_snapshot()["PerfusionTrainConcept"]
CAPTIONS = [f"a {colour} {thing}" for colour in ("red", "old", "big", "tiny") for thing in ("dog", "car", "cup", "sea")]


@pytest.mark.parametrize(("gate", "taken"), [("auto", "learned word"), ("position", "position")])
def test_the_node_trains_and_the_concept_draws(pack, tmp_path, monkeypatch, gate, taken):
    """Train and Apply work on Anima as on Stable Diffusion: auto takes the learned word; a run is reused."""
    import comfy.sample
    import comfy.sd
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    monkeypatch.setattr(pack.folders, "statistics_folder", lambda: tmp_path / "statistics")
    model, clip = cross_model("anima"), cross_clip("anima")
    values = {
        **{name: entry["default"] for name, entry in SCHEMA["inputs"].items() if "default" in entry},
        **{"model": model, "clip": clip, "vae": comfy.sd.VAE(sd=first_stage("wan21"))},
        **{"images": torch.rand(2, 64, 64, 3), "word": "my_bear", "superclass": "teddy bear"},
        **{"steps": 3, "batch_size": 2, "preview_every": 3},
        **{"templates": "a {}\nthe old {}", "gradient_checkpointing": True, "value_learning_rate": 0.3},
        "gate": gate,
    }
    if taken == "learned word":
        values["statistics"] = pack.statistics.measured(clip, CAPTIONS, model)
    inputs = {name: [value] for name, value in values.items()}
    finished = pack.run.Training.of(inputs).run()
    concept = finished.concept
    assert concept.gate.value == taken and concept.base_family == "anima" and len(finished.losses) == 3
    assert all(residual.abs().max() > 0.1 for residual in concept.value_residuals.values())
    assert list(concept.word_embeddings) == ["qwen3_06b"] * (taken == "learned word") and finished.sheet is not None
    again = pack.run.Training.of(inputs).run().concept.value_residuals
    assert all(torch.equal(again[name], residual) for name, residual in concept.value_residuals.items())
    applied = pack.model.AppliedConcept(pack.ops.EditTerm(concept, pack.ops.Gate()))
    edited = pack.model.model_with_concept(model, applied)
    knowing = pack.clip.clip_with_concept(clip, concept, 1.0, pack.ops.KeyLocking.LOCAL, applied.naming)

    @torch.inference_mode()
    def draw(patcher, encoder, text):
        conds = [encoder.encode_from_tokens_scheduled(encoder.tokenize(each)) for each in (text, "")]
        noise = torch.randn(1, 16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        latent, settings = torch.zeros_like(noise), {"disable_pbar": True, "seed": 1}
        return comfy.sample.sample(patcher, noise, 2, 2.0, "euler", "simple", *conds, latent, **settings)

    plain = draw(model, clip, "a teddy bear")
    assert (draw(edited, knowing, "a my_bear") - plain).abs().max() > 1e-3
    assert torch.equal(draw(edited, knowing, "a teddy bear"), plain)

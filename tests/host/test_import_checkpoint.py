"""Import Perfusion Checkpoint on the real server: from a file of another program to a picture."""

from __future__ import annotations

import pytest

from builders.peer_files import key_locked_content, key_locked_file
from builders.server import Rejected
from builders.workflows import Workflow, encode, load, mean_difference, sample, show

APPLY = {"bias": -0.5, "temperature": 0.15, "key_locking": "local", "leak_free": False}
APPLY |= {"start_percent": 0.0, "end_percent": 1.0}


def test_a_file_of_another_program_draws_its_subject(server, pack, loaded):
    """A user of another program would have to train again, or would not find the file in the list."""
    folder = server.folder / "models/perfusion_import"
    folder.mkdir(exist_ok=True)
    key_locked_file(folder / "theirs.ckpt", key_locked_content(pack.family.projections(loaded[0]), (5,)))
    pictures, said = [], []
    for strength in (1.0, 1e-6):
        graph = Workflow()
        model, clip, vae = load(graph)
        named = {"word": "their_cat", "superclass": "cat", "concept_number": 1}
        node = graph.add("PerfusionImportCheckpoint", file="theirs.ckpt", model=model, clip=clip, **named)
        settings = {"concept": node[0], "visual_strength": strength, **APPLY}
        applied = graph.add("PerfusionApplyKeyLockedAttention", model=model, clip=clip, **settings)
        prompts = [encode(graph, applied[1], text) for text in ("a photo of a their_cat", "")]
        shown = show(graph, sample(graph, applied[0], *prompts), vae)
        result = server.run(graph)
        pictures.append(server.pictures(result, shown))
        (report,) = result.outputs[node.name]["text"]
        said += result.texts()
        assert "Key-Locked-Rank-One-Editing" in report and report in said, "it stands on the node"
    assert mean_difference(*pictures) > 1


def test_a_file_that_is_not_there_is_refused_before_the_queue(server):
    """A missing file would end in a traceback in the middle of a queue."""
    graph = Workflow()
    model, clip, _vae = load(graph)
    named = {"word": "a_cat", "superclass": "cat", "concept_number": 1}
    graph.add("PerfusionImportCheckpoint", file="missing.pt", model=model, clip=clip, **named)
    with pytest.raises(Rejected, match="models/perfusion_import"):
        server.run(graph)

"""Snapshots of a training on the real server: kept through a cancel, reused, loaded one by one and as a list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builders.server import Rejected, Server
from builders.workflows import Workflow, load, train, training_pictures
from perfusion_ops.concept.file import load_concept
from perfusion_ops.training.settings import steps_done

WORD, STEPS, EVERY = "snapbox", 8, 3


def training(server: Server, **settings) -> tuple[Workflow, str, str]:
    """A short training whose snapshots are all saved again; ids of Train and of the steps' text."""
    graph = Workflow()
    pixels = graph.add("LoadImage", image=training_pictures(server.folder, 1)[0])[0]
    node = train(graph, pixels, load(graph), word=WORD, steps=STEPS, **settings)
    settings = {"filename": "again/snap", "precision": "fp16", "overwrite": False}
    saved = graph.add("PerfusionSaveConcept", concept=node[4], **settings)
    return graph, node.name, saved.name


def told(server: Server, graph: Workflow, cancel: tuple[str, int] | None = None) -> str:
    """Everything the nodes said in a run that is cancelled at a step of a node."""

    def watch(server: Server, event: dict) -> None:
        if event["type"] == "progress" and (event["data"]["node"], event["data"]["value"]) == cancel:
            server.interrupt()

    return "\n".join(server.run(graph, watch).texts())


def kept(server: Server) -> dict[str, bytes]:
    trained = server.folder / "output/perfusion/trained"
    return {p.relative_to(trained).as_posix(): p.read_bytes() for p in sorted(trained.rglob(f"{WORD}*/*.safetensors"))}


@pytest.fixture(scope="module")
def snapshots(server):
    """File -> bytes of a training's snapshots, cancelled after the first one and gone on with; cleared at the end."""
    graph, node, _ = training(server, snapshot_every=EVERY)
    told(server, graph, cancel=(node, 4))
    first = kept(server)
    assert [Path(name).name for name in first] == ["step 0003.safetensors"]
    assert "Trains from the start" not in told(server, graph)
    found = kept(server)
    assert first.items() <= found.items()
    yield found
    for folder in ("trained", "again"):
        shutil.rmtree(server.folder / "output/perfusion" / folder)


def test_snapshots_are_listed_under_their_run_and_go_on_from_a_list(server, snapshots):
    """A node after Train runs once for each snapshot, and once for the finished concept."""
    names = server.get("/object_info/PerfusionLoadConcept")["PerfusionLoadConcept"]["input"]["required"]["concept"]
    run = next(iter(snapshots)).partition("/")[0]
    assert {f"trained/{run}/step 0003.safetensors", f"trained/{run}/step 0006.safetensors"} <= set(names[1]["options"])
    saved = [load_concept(path) for path in sorted((server.folder / "output/perfusion/again").glob("*.safetensors"))]
    assert sorted(steps_done(concept.metadata) for concept in saved) == [3, 6, 8]


def test_load_picks_one_snapshot_and_names_its_step(server, snapshots):
    """The best step of a training can be used like any concept."""
    graph = Workflow()
    loader = graph.add("PerfusionLoadConcept", concept=f"trained/{list(snapshots)[1]}")
    shown = graph.add("PreviewAny", source=loader[2])
    assert server.run(graph).outputs[shown.name]["text"] == ["6"]


def test_a_run_is_loaded_as_a_list_in_the_order_of_its_steps(server, snapshots):
    """All snapshots of a training can be compared later, also after a restart."""
    graph = Workflow()
    run = f"trained/{next(iter(snapshots)).partition('/')[0]}"
    loader = graph.add("PerfusionLoadSnapshots", run=run)
    shown = graph.add("PreviewAny", source=loader[1])
    assert [int(text) for text in server.run(graph).outputs[shown.name]["text"]] == [3, 6, 8]
    graph[loader.name]["inputs"]["run"] = "nothing"
    with pytest.raises(Rejected, match="There is no training 'nothing' with snapshots"):
        server.run(graph)


def test_a_finished_training_is_reused_with_its_snapshots_and_trained_again_for_missing_ones(server, snapshots):
    """Snapshots are never silently missing; made again, they are those of the training that was cancelled."""
    graph, _, _ = training(server, snapshot_every=EVERY, micro_batch=1)
    assert "Reused" in told(server, graph)
    run = server.folder / "output/perfusion/trained" / next(iter(snapshots)).partition("/")[0]
    shutil.rmtree(run)
    graph, _, _ = training(server, snapshot_every=EVERY)
    again = told(server, graph)
    assert "Trains from the start: an earlier run did not keep the snapshot of step 3 and 1 more." in again
    assert kept(server) == snapshots

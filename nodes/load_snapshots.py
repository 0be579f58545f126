"""Load Perfusion Snapshots: every concept that a training kept on its way, as a list."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.training.settings import steps_done
from .host import folders
from .host.thumbnails import load_with_thumbnail
from .schema import ConceptIO, is_there, schema
from .training.snapshots import listed_runs


class PerfusionLoadSnapshots(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "load snapshots", "training steps", "best step"],
            node_id="PerfusionLoadSnapshots",
            display_name="Load Perfusion Snapshots",
            description="Loads all snapshots of one training as a list, and the finished concept last. A node after "
            "this one runs once for each.",
            inputs=[
                io.Combo.Input(
                    "run",
                    options=list(listed_runs(folders.concept_names())),
                    tooltip="A training that kept snapshots (snapshot_every). Press R to refresh the list.",
                ),
            ],
            outputs=[
                ConceptIO.Output(
                    display_name="concepts", is_output_list=True, tooltip="For Apply Key-Locked Attention."
                ),
                io.Int.Output(display_name="steps", is_output_list=True, tooltip="The training steps of each concept."),
                io.String.Output(display_name="word", tooltip="The concept word, for prompts."),
            ],
        )

    @classmethod
    def validate_inputs(cls, run):
        return is_there(_snapshots_of, run)

    @classmethod
    def fingerprint_inputs(cls, run):
        names = folders.concept_names() if run is None else _snapshots_of(run)
        return folders.states(map(folders.concept_path, names))

    @classmethod
    def execute(cls, run) -> io.NodeOutput:
        names = _snapshots_of(run)
        concepts = [load_with_thumbnail(folders.concept_path(name)) for name in names]
        steps = [steps_done(concept.metadata) for concept in concepts]
        return io.NodeOutput(concepts, steps, concepts[0].word)


def _snapshots_of(run: str | None) -> list[str]:
    """The concepts of a listed training. Raises ValueError when there is no such training."""
    found = listed_runs(folders.concept_names())
    if run not in found:
        raise ValueError(
            f"There is no training {run!r} with snapshots in models/perfusion or output/perfusion. Train with "
            "snapshot_every above 0 and press R."
        )
    return found[run]

"""Load Perfusion Snapshots: every concept that a training kept on its way, as a list."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.training.settings import steps_done
from .host import folders
from .host.thumbnails import load_with_thumbnail
from .schema import ConceptIO, schema
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
        if run in listed_runs(folders.concept_names()):
            return True
        return (
            f"There is no training {run!r} with snapshots in models/perfusion or output/perfusion. Train with "
            "snapshot_every above 0 and press R."
        )

    @classmethod
    def fingerprint_inputs(cls, run):
        names = listed_runs(folders.concept_names()).get(run, [])
        found = [folders.concept_path(name).stat() for name in names]
        return [(name, file.st_size, file.st_mtime_ns) for name, file in zip(names, found, strict=True)]

    @classmethod
    def execute(cls, run) -> io.NodeOutput:
        names = listed_runs(folders.concept_names())[run]
        concepts = [load_with_thumbnail(folders.concept_path(name)) for name in names]
        steps = [steps_done(concept.metadata) for concept in concepts]
        return io.NodeOutput(concepts, steps, concepts[0].word)

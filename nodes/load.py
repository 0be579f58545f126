"""Load Perfusion Concept: a concept from a file, and its word."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.concept.file_schema import MAX_FILE_BYTES
from ..perfusion_ops.training.settings import steps_done
from .host import folders
from .host.thumbnails import load_with_thumbnail
from .schema import ConceptIO, concept_file_input, is_there, schema


class PerfusionLoadConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "load concept", "concept loader"],
            node_id="PerfusionLoadConcept",
            display_name="Load Perfusion Concept",
            description="Loads a concept and its word from models/perfusion or output/perfusion.",
            inputs=[
                concept_file_input(
                    "concept", "A concept file in models/perfusion or output/perfusion. Press R to refresh the list."
                ),
            ],
            outputs=[
                ConceptIO.Output(display_name="concept", tooltip="For Apply Key-Locked Attention."),
                io.String.Output(display_name="word", tooltip="The concept word, for prompts."),
                io.Int.Output(
                    display_name="step", tooltip="The training steps of the concept; 0 if the file does not say."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, concept):
        return is_there(folders.concept_path, concept)

    @classmethod
    def fingerprint_inputs(cls, concept):
        if concept is None:
            return folders.states(map(folders.concept_path, folders.concept_names()))
        return folders.content_hash(folders.concept_path(concept), MAX_FILE_BYTES)

    @classmethod
    def execute(cls, concept) -> io.NodeOutput:
        loaded = load_with_thumbnail(folders.concept_path(concept))
        return io.NodeOutput(loaded, loaded.word, steps_done(loaded.metadata))

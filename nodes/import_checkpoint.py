"""Import Perfusion Checkpoint: a concept that another implementation trained."""

from __future__ import annotations

from comfy_api.latest import io

from ..perfusion_ops.files.strict_pickle import MAX_FILE_BYTES
from .host import folders, messages
from .host.importing import imported
from .schema import ConceptIO, expert, is_there, schema


class PerfusionImportCheckpoint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "perfusion-pytorch", "Key-Locked-Rank-One-Editing", "convert", "import concept"],
            node_id="PerfusionImportCheckpoint",
            display_name="Import Perfusion Checkpoint",
            description="Turns a file of perfusion-pytorch or of Key-Locked-Rank-One-Editing into a concept. It "
            "says what was kept and what was not. Connect Save Perfusion Concept to keep it.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=folders.import_names(),
                    tooltip="A .pt, .ckpt or .bin file in models/perfusion_import. Press R to refresh the list.",
                ),
                io.Model.Input("model", tooltip="The SD 1.x or SD 2.x model that the file was trained on."),
                io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
                io.String.Input(
                    "word", default="my_subject", tooltip="The concept word for prompts. The file's own is not kept."
                ),
                io.String.Input(
                    "superclass",
                    default="dog",
                    tooltip="The word that the training began with, such as cat. The files do not always say it.",
                ),
                expert(
                    io.Int.Input(
                        "concept_number",
                        default=1,
                        min=1,
                        max=64,
                        tooltip="Which concept of a file that holds several, counted from 1.",
                    )
                ),
            ],
            outputs=[
                ConceptIO.Output(display_name="concept", tooltip="For Apply Key-Locked Attention and Save."),
                io.String.Output(display_name="word", tooltip="The concept word, for prompts."),
                io.String.Output(display_name="report", tooltip="What was kept, converted and dropped."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, file):
        return is_there(folders.import_path, file)

    @classmethod
    def fingerprint_inputs(cls, file, **_others):
        if file is None:
            return folders.states(map(folders.import_path, folders.import_names()))
        return folders.content_hash(folders.import_path(file), MAX_FILE_BYTES)

    @classmethod
    def execute(cls, file, model, clip, word, superclass, concept_number) -> io.NodeOutput:
        path = folders.import_path(file)
        concept, report = imported(path, word, superclass, model, clip, concept_number)
        return io.NodeOutput(concept, concept.word, report, ui=messages.last_line(report))

"""Save Perfusion Concept: a concept to a file, and a thumbnail beside it."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..perfusion_ops.concept.file import save_concept
from .host import folders, messages
from .host.thumbnails import copy_thumbnail, save_thumbnail
from .schema import ConceptIO, expert, schema


class PerfusionSaveConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "save concept", "export concept"],
            node_id="PerfusionSaveConcept",
            display_name="Save Perfusion Concept",
            description="Saves a concept to output/perfusion, where Load Perfusion Concept finds it.",
            inputs=[
                ConceptIO.Input("concept", tooltip="From Train Perfusion Concept."),
                io.String.Input(
                    "filename",
                    default="my_concept",
                    tooltip="A file name. Sub-folders are allowed, such as pets/teddy.",
                ),
                expert(
                    io.Combo.Input(
                        "precision",
                        options=["fp16", "fp32", "int8"],
                        default="fp16",
                        tooltip="fp16: about 30 KB for SD 1.x. fp32: no rounding. int8: about half of fp16.",
                    )
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="On: a file with this name is replaced. Off: the new name gets a number.",
                ),
                io.Image.Input(
                    "thumbnail",
                    optional=True,
                    tooltip="A picture saved beside the file. The first one of a batch is used. Not connected: the "
                    "picture that the training kept.",
                ),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The name of the file in Load Perfusion Concept.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, concept, filename, precision, overwrite, thumbnail=None) -> io.NodeOutput:
        with folders.path_to_save(filename, overwrite) as path:
            save_concept(concept, path, precision)
        if thumbnail is not None:
            save_thumbnail(thumbnail[0], path)
        else:
            copy_thumbnail(concept, path)
        messages.tell_saved(concept.word, path)
        name = path.relative_to(folders.output_folder()).as_posix()
        text = f"Saved {name} ({path.stat().st_size / 1000:.0f} KB). Its word is {concept.word!r}."
        # A message of the browser's says it too, and names the file.
        messages.show_on_node(text, messages.running_node())
        return io.NodeOutput(name, ui=ui.PreviewText(text))

"""Save Perfusion Concept: a concept to a file, and a thumbnail beside it."""

from __future__ import annotations

import numpy as np
from comfy_api.latest import io, ui
from PIL import Image

from ..perfusion_ops.concept.file import save_concept
from .host import folders
from .schema import ConceptIO, expert, schema

THUMBNAIL_PIXELS = 384


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
                    "filename", default="my_concept", tooltip="File name; sub-folders work, such as pets/teddy."
                ),
                expert(
                    io.Combo.Input(
                        "precision",
                        options=["fp16", "fp32", "int8"],
                        default="fp16",
                        tooltip="fp16: some 30 KB for SD 1.5. fp32: every digit. int8: half of fp16.",
                    )
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="Replace a file of that name; otherwise a number is added.",
                ),
                io.Image.Input(
                    "thumbnail", optional=True, tooltip="A picture to put beside the file; the first one is used."
                ),
            ],
            outputs=[io.String.Output(display_name="file", tooltip="The name Load Perfusion Concept knows it by.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, concept, filename, precision, overwrite, thumbnail=None) -> io.NodeOutput:
        with folders.path_to_save(filename, overwrite) as path:
            save_concept(concept, path, precision)
        if thumbnail is not None:
            save_thumbnail(thumbnail, path)
        name = path.relative_to(folders.output_folder()).as_posix()
        text = f"Saved {name} ({path.stat().st_size / 1000:.0f} KB). Its word is {concept.word!r}."
        return io.NodeOutput(name, ui=ui.PreviewText(text))


def save_thumbnail(images, concept_path) -> None:
    """The first of ``images`` (N, H, W, C), 0 to 1, as a small JPEG beside the concept file."""
    pixels = (images[0, ..., :3].float().clamp(0, 1) * 255).round().to("cpu").numpy().astype(np.uint8)
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    picture.save(concept_path.with_suffix(".jpg"), quality=90)

"""Export Perfusion Word: a concept's word as an ordinary embedding file."""

from __future__ import annotations

from comfy_api.latest import io

from .host import folders, messages
from .host.embeddings import write_embedding
from .schema import ConceptIO, schema


class PerfusionExportEmbedding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "export embedding", "textual inversion", "save embedding", "word"],
            node_id="PerfusionExportEmbedding",
            display_name="Export Perfusion Word",
            description="Saves the word of a concept as an ordinary embedding, for prompts such as embedding:name. "
            "Only the word is saved: the trained values, and so most of the subject, stay in the concept.",
            inputs=[
                ConceptIO.Input("concept", tooltip="A concept for SD 1.x, SD 2.x or SDXL, with a learned word."),
                io.Clip.Input("clip", tooltip="The CLIP of the checkpoint that the concept was trained on."),
                io.String.Input(
                    "filename",
                    default="my_concept",
                    tooltip="A file name in output/embeddings. Sub-folders are allowed, such as pets/teddy.",
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="On: a file with this name is replaced. Off: the new name gets a number.",
                ),
            ],
            outputs=[io.String.Output(display_name="prompt", tooltip="What to write in a prompt, as embedding:name.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, concept, clip, filename, overwrite) -> io.NodeOutput:
        with folders.path_to_save(filename, overwrite, folders.embeddings_folder()) as path:
            write_embedding(concept, clip, path)
        name = path.relative_to(folders.embeddings_folder()).as_posix().removesuffix(folders.EXTENSION)
        text = f"Write embedding:{name} in a prompt. It holds the word {concept.word!r} alone, not the trained values."
        return io.NodeOutput(f"embedding:{name}", ui=messages.last_line(text))

"""Load Training Pictures: a folder of pictures with their captions and masks, as Train takes them."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from .host import messages
from .host.folders import states
from .host.input_folders import picture_folder, picture_folders
from .schema import is_there, schema
from .training.picture_files import load_pictures, picture_files


class PerfusionPictureFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "load pictures from folder", "image folder", "dataset", "captions", "photographs"],
            node_id="PerfusionPictureFolder",
            display_name="Load Training Pictures",
            description="Loads all pictures of a folder inside ComfyUI's input folder, with captions and masks of the "
            "same name beside them.",
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=picture_folders(),
                    tooltip="A folder with pictures inside ComfyUI's input folder. Press R to refresh the list.",
                ),
                io.Int.Input(
                    "longest_side",
                    default=1536,
                    min=64,
                    max=8192,
                    step=8,
                    tooltip="Larger pictures are scaled down to this side, which saves memory. Train loses nothing if "
                    "it is 1.5 times Train's resolution or more.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    is_output_list=True,
                    tooltip="The pictures as a list, each at its own size, for Train Perfusion Concept.",
                ),
                io.String.Output(
                    display_name="captions",
                    is_output_list=True,
                    tooltip="The text of the .txt file of the same name; empty for a picture without one.",
                ),
                io.Mask.Output(
                    display_name="masks",
                    is_output_list=True,
                    tooltip="From a file of the same name with _mask, or from the alpha channel; white for a picture "
                    "without one.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder):
        return is_there(picture_folder, folder)

    @classmethod
    def fingerprint_inputs(cls, folder, longest_side):
        searched = picture_folders() if folder is None else [folder]
        files = (path for name in searched for path in picture_folder(name).iterdir() if path.is_file())
        return states(sorted(files))

    @classmethod
    def execute(cls, folder, longest_side) -> io.NodeOutput:
        files, unused = picture_files(picture_folder(folder))
        loaded = load_pictures(files, longest_side)
        stray = f"No picture has the name of {', '.join(unused)}; rename it to be its caption." if unused else None
        if not messages.warn_of(stray):
            messages.show_last(_summary(loaded), messages.running_node())
        masks = [torch.ones(one.pixels.shape[:3]) if one.mask is None else one.mask for one in loaded]
        return io.NodeOutput([one.pixels for one in loaded], [one.caption for one in loaded], masks)


def _summary(loaded: list) -> str:
    captions, masks = sum(bool(one.caption) for one in loaded), sum(one.mask is not None for one in loaded)
    return f"{len(loaded)} pictures, {captions} captions, {masks} masks"

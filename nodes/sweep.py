"""Perfusion Sweep: a labelled grid over two dials at one press, with a suggested point."""

from __future__ import annotations

from comfy_api.latest import io

from .host.widgets import KEY_LOCKINGS
from .judging.axes import AXES, DEFAULTS, NONE
from .judging.sweep import Sweep
from .sampling_inputs import judging_inputs, model_inputs, sampling_inputs
from .schema import ConceptIO, bias_input, key_locking_input, schedule_input, schema, strength_input, temperature_input

VALUES_TOOLTIP = (
    "Values with commas between them, such as 0.3, 0.6, 0.9. Empty: "
    + "; ".join(f"{values} for {dial}" for dial, values in DEFAULTS.items())
    + ". Not used for concept and none."
)


class PerfusionSweep(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "sweep", "grid", "xy plot", "compare settings", "best bias"],
            node_id="PerfusionSweep",
            display_name="Perfusion Sweep",
            description="Draws a concept at many settings with the ordinary KSampler, side by side. With the training "
            "pictures connected, it scores every setting and suggests one.",
            is_input_list=True,
            inputs=[
                *(*_what(), *_axes(), *sampling_inputs(), *_dials(), *judging_inputs()),
                schedule_input("each cell has them"),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def execute(cls, **inputs: list) -> io.NodeOutput:
        swept = Sweep.of(inputs).run()
        point = swept.point
        dials = (point.bias, point.temperature, point.visual_strength, point.key_locking)
        return io.NodeOutput(swept.grid, swept.front, swept.pictures, swept.table, point.concept, *dials)


def _what() -> list[io.Input]:
    return [
        *model_inputs(),
        ConceptIO.Input(
            "concept",
            tooltip="One concept, or a list from Load Perfusion Snapshots with concept as one of the axes.",
        ),
        io.Latent.Input(
            "latent_image", tooltip="From Empty Latent Image. A batch gives as many pictures in each cell."
        ),
        io.String.Input(
            "prompts",
            default="a photo of a {} on a beach\na photo of a {} in the snow",
            multiline=True,
            tooltip="One prompt on each line, with {} in place of the subject. All are drawn in each cell. Use "
            "several: one picture says little.",
        ),
        io.String.Input("negative", default="", multiline=True, tooltip="The negative prompt."),
    ]


def _axes() -> list[io.Input]:
    return [
        io.Combo.Input("columns", options=list(AXES), default="bias", tooltip="What changes from left to right."),
        io.String.Input("column_values", default="", tooltip=VALUES_TOOLTIP),
        io.Combo.Input(
            "rows",
            options=[*AXES, NONE],
            default="visual_strength",
            tooltip="What changes from top to bottom. none: one row.",
        ),
        io.String.Input("row_values", default="", tooltip=VALUES_TOOLTIP),
    ]


def _dials() -> list[io.Input]:
    return [
        bias_input(0.6, "The gate's bias where no axis turns it. The paper uses 0.6 to 0.75 for local key locking."),
        temperature_input(0.15, "The gate's temperature where no axis turns it. The paper uses 0.15."),
        strength_input("How strong the concept's look is, where no axis turns it."),
        key_locking_input(),
    ]


def _outputs() -> list[io.Output]:
    return [
        io.Image.Output(
            display_name="grid", tooltip="All cells with their labels and scores; the suggested one framed."
        ),
        io.Image.Output(display_name="front", tooltip="Identity against agreement, with the suggested point marked."),
        io.Image.Output(display_name="pictures", tooltip="The pictures of all cells, as KSampler drew them."),
        io.String.Output(display_name="table", tooltip="The scores and how they were measured, as markdown."),
        ConceptIO.Output(display_name="concept", tooltip="The suggested concept, for Apply Key-Locked Attention."),
        io.Float.Output(display_name="bias", tooltip="The suggested bias, for Apply Key-Locked Attention."),
        io.Float.Output(display_name="temperature", tooltip="The suggested temperature."),
        io.Float.Output(display_name="visual_strength", tooltip="The suggested visual strength."),
        io.Combo.Output(display_name="key_locking", options=list(KEY_LOCKINGS), tooltip="The suggested key locking."),
    ]

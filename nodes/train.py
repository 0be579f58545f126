"""Train Perfusion Concept: a concept from a few pictures."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from .schema import ConceptIO, schema
from .train_inputs import train_inputs
from .training.run import Training


class PerfusionTrainConcept(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            ["perfusion", "train concept", "dreambooth", "textual inversion", "personalization", "few-shot"],
            node_id="PerfusionTrainConcept",
            display_name="Train Perfusion Concept",
            description="Learns one subject from about five pictures. The result is a concept: a file of 20 to 700 KB "
            "in fp16, by the model; 32 KB for SD 1.x. Cancel keeps what is trained; queue the same inputs again to go "
            "on. If the training is finished, the concept is taken from disk.",
            is_input_list=True,
            is_output_node=True,
            inputs=train_inputs(),
            outputs=[
                ConceptIO.Output(
                    display_name="concept", tooltip="For Apply Key-Locked Attention and Save Perfusion Concept."
                ),
                io.Custom("LOSS_MAP").Output(display_name="loss_map", tooltip="For Plot Loss Graph."),
                io.String.Output(display_name="word", tooltip="The concept word, for prompts."),
                io.Image.Output(display_name="previews", tooltip="The previews drawn during training, side by side."),
                ConceptIO.Output(
                    display_name="snapshots",
                    is_output_list=True,
                    tooltip="The concept every snapshot_every steps, as a list; the finished concept comes last.",
                ),
            ],
        )

    @classmethod
    def execute(cls, **inputs: list) -> io.NodeOutput:
        finished = Training.of(inputs).run()
        sheet = torch.zeros(1, 64, 64, 3) if finished.sheet is None else finished.sheet.unsqueeze(0)
        shown = None if finished.sheet is None else ui.PreviewImage(sheet, cls=cls)
        concept = finished.concept
        snapshots = [*finished.snapshots, concept]
        return io.NodeOutput(concept, {"loss": finished.losses}, concept.word, sheet, snapshots, ui=shown)

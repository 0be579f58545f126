"""Patches that change, inside the model, which prompts the layers read: negative weights, attention couples."""

from __future__ import annotations

import torch
from comfy_api.latest import io

CATEGORY = "perfusion tests"


class HelperKeysAndValues(io.ComfyNode):
    """Every token of a prompt twice in turn, for the keys and for the values, as packs with negative weights do."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperKeysAndValues",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("positive"), io.Conditioning.Input("negative")],
            outputs=[io.Model.Output(), io.Conditioning.Output(), io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, model, positive, negative):
        def doubled(conditioning):
            return [[torch.stack((tokens, tokens), 2).flatten(1, 2), rest] for tokens, rest in conditioning]

        clone = model.clone()
        clone.set_model_attn2_patch(lambda queries, keys, values, _options: (queries, keys[:, 0::2], values[:, 1::2]))
        return io.NodeOutput(clone, doubled(positive), doubled(negative))


class HelperJoinedPrompt(io.ComfyNode):
    """The layers read a second prompt beside each of the sampler's and halve both, as attention couples do."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperJoinedPrompt",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second):
        held = second[0][0]

        def join(queries, keys, values, options):
            rows = [n for n, kind in enumerate(options["cond_or_uncond"]) if kind == 0]
            options["helper_joined"] = rows
            other = held.to(keys).repeat(len(rows), 1, 1)
            return torch.cat([queries, queries[rows]]), torch.cat([keys, other]), torch.cat([values, other])

        def halve(output, options):
            rows = options["helper_joined"]
            own, others = output[: len(output) - len(rows)].clone(), output[len(output) - len(rows) :]
            own[rows] = (own[rows] + others) / 2
            return own

        clone = model.clone()
        clone.set_model_attn2_patch(join)
        clone.set_model_attn2_output_patch(halve)
        return io.NodeOutput(clone)

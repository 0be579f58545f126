"""Patches that change, inside the model, which prompts the layers read: negative weights, attention couples."""

from __future__ import annotations

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
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
    """The layers read a second prompt beside each of the sampler's and halve both, as attention couples do; or
    ``behind`` each positive one. The negative one is then read twice.
    """

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperJoinedPrompt",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second"), io.Boolean.Input("behind")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second, behind):
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

        def put_behind(queries, keys, values, options):
            kinds = options["cond_or_uncond"]

            def longer(texts):
                rows = [texts[n : n + 1] for n in range(len(texts))]
                others = [row if kind else held.to(row) for row, kind in zip(rows, kinds, strict=True)]
                return torch.cat([torch.cat(pair, 1) for pair in zip(rows, others, strict=True)])

            return queries, longer(keys), longer(values)

        clone = model.clone()
        clone.set_model_attn2_patch(put_behind if behind else join)
        if not behind:
            clone.set_model_attn2_output_patch(halve)
        return io.NodeOutput(clone)


class OneByOne(UNetModel):
    """A network that takes the prompts of a call one by one, some with another prompt behind them."""

    def forward(self, x, timesteps, context, *args, transformer_options, **kwargs):
        kinds, second, rows = transformer_options["cond_or_uncond"], transformer_options["helper_second"], []
        for n in range(len(x)):
            prompt = context[n].clone().unsqueeze(0)
            if second is not None and kinds[n * len(kinds) // len(x)] == 0:
                prompt = torch.cat([prompt, second.to(prompt)], dim=1)
            part = (x[n : n + 1], timesteps[n : n + 1], prompt)
            rows.append(super().forward(*part, *args, transformer_options=transformer_options, **kwargs))
        return torch.cat(rows)


class HelperNetwork(io.ComfyNode):
    """Another class in place of the network's, as packs for regional prompts put one there."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperNetwork",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second", optional=True)],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second=None):
        clone = model.clone()
        clone.add_object_patch("diffusion_model.__class__", OneByOne)
        clone.model_options["transformer_options"]["helper_second"] = None if second is None else second[0][0]
        return io.NodeOutput(clone)


def in_place_of_positives(held, context, options):
    """A prompt ``held`` in place of each positive one in ``context`` (B, T, d)."""
    kinds = options["cond_or_uncond"]
    share = len(context) // len(kinds)
    rows = zip(kinds, context.split(share), strict=True)
    return torch.cat([own if kind else held.to(own).repeat(share, 1, 1) for kind, own in rows])


class HelperOneContext(io.ComfyNode):
    """The layers read a second prompt in place of each positive one, one context for keys and values."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperOneContext",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second):
        held = second[0][0]

        def replace(queries, keys, values, options):
            context = in_place_of_positives(held, keys, options)
            return queries, context, context

        clone = model.clone()
        clone.set_model_attn2_patch(replace)
        return io.NodeOutput(clone)

"""Nodes for the host tests only: lists of pictures, a node that raises, and patches as other packs make them."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import ComfyExtension, io

from .inner_attention import HelperGuidedPrompt, HelperReplacedAttention
from .inner_prompts import HelperJoinedPrompt, HelperKeysAndValues, HelperNetwork, HelperOneContext
from .narrow_vision import open_narrow_vision_files

CATEGORY = "perfusion tests"


class HelperImageList(io.ComfyNode):
    """Two pictures as a list, each at its own size."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperImageList",
            category=CATEGORY,
            inputs=[io.Image.Input("first"), io.Image.Input("second")],
            outputs=[io.Image.Output(is_output_list=True)],
        )

    @classmethod
    def execute(cls, first, second):
        return io.NodeOutput([first, second])


class HelperSpoil(io.ComfyNode):
    """A picture with something wrong: ``nan``, ``empty``, or an ``alpha`` channel."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperSpoil",
            category=CATEGORY,
            inputs=[io.Image.Input("image"), io.Combo.Input("how", options=["nan", "empty", "alpha"])],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, how):
        image = image.clone()
        if how == "nan":
            image[0, 0, 0, 0] = float("nan")
        elif how == "empty":
            image = image[:0]
        else:
            image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)
        return io.NodeOutput(image)


class HelperForgetfulEncode(io.ComfyNode):
    """A text encode node whose encodings leave torch on the way, so that nothing can be remembered on them."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperForgetfulEncode",
            category=CATEGORY,
            inputs=[io.Clip.Input("clip"), io.String.Input("text")],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, clip, text):
        encodings = clip.encode_from_tokens(clip.tokenize(text))
        return io.NodeOutput([[torch.from_numpy(encodings.numpy().copy()), {}]])


class HelperRaise(io.ComfyNode):
    """A model that raises at its second call, in the middle of sampling."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperRaise", category=CATEGORY, inputs=[io.Model.Input("model")], outputs=[io.Model.Output()]
        )

    @classmethod
    def execute(cls, model):
        calls = []

        def fail(queries, context, values, options):
            calls.append(1)
            if len(calls) > 9:
                raise RuntimeError("raised on purpose")
            return queries, context, values

        clone = model.clone()
        clone.set_model_attn2_patch(fail)
        return io.NodeOutput(clone)


class HelperAttentionReplace(io.ComfyNode):
    """An attention-replace patch on every cross-attention layer, as IP-Adapter makes: other keys and values beside."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperAttentionReplace",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Float.Input("weight", default=0.5)],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, weight):
        from comfy.ldm.modules.attention import optimized_attention

        def replace(queries, keys, values, options):
            output = optimized_attention(queries, keys, values, options["n_heads"])
            generator = torch.Generator().manual_seed(0)
            extra = torch.randn(1, 4, keys.shape[-1], generator=generator).to(keys).expand(len(keys), -1, -1)
            return output + weight * optimized_attention(queries, extra, extra, options["n_heads"])

        clone = model.clone()
        for block in [("input", 1), ("input", 3), ("middle", 0), *(("output", number) for number in range(4))]:
            clone.set_model_attn2_replace(replace, *block)
        return io.NodeOutput(clone)


class HelperContextPatch(io.ComfyNode):
    """An ``attn2_patch`` that scales the values' context, as hypernetworks do."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperContextPatch",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Float.Input("scale", default=1.5)],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, scale):
        clone = model.clone()
        clone.set_model_attn2_patch(lambda queries, context, values, options: (queries, context, values * scale))
        return io.NodeOutput(clone)


class HelperCompile(io.ComfyNode):
    """The host's TorchCompileModel with a backend that keeps the graphs as traced, without inductor's minute of C++."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperCompile", category=CATEGORY, inputs=[io.Model.Input("model")], outputs=[io.Model.Output()]
        )

    @classmethod
    def execute(cls, model):
        from comfy_extras.nodes_torch_compile import TorchCompileModel

        def backend(graph, _inputs, **_options):
            logging.info("HelperCompile: a graph of %d operations", len(graph.graph.nodes))
            return graph.forward

        return TorchCompileModel.execute(model, backend)


class HelperExtension(ComfyExtension):
    async def on_load(self):
        open_narrow_vision_files()

    async def get_node_list(self):
        return [
            HelperCompile,
            HelperImageList,
            HelperSpoil,
            HelperForgetfulEncode,
            HelperRaise,
            HelperAttentionReplace,
            HelperContextPatch,
            HelperGuidedPrompt,
            HelperJoinedPrompt,
            HelperNetwork,
            HelperKeysAndValues,
            HelperOneContext,
            HelperReplacedAttention,
        ]


async def comfy_entrypoint():
    return HelperExtension()

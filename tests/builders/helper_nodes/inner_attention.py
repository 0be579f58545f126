"""Nodes with an attention of their own, in whose place the layers read a second prompt apart from the first."""

from __future__ import annotations

from comfy_api.latest import io

from .inner_prompts import CATEGORY, in_place_of_positives


class HelperGuidedPrompt(io.ComfyNode):
    """Layers with a forward of the node's own, which reads a second prompt apart from the first, as guidance does."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperGuidedPrompt",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second):
        from comfy.ldm.modules.attention import optimized_attention

        held, clone = second[0][0], model.clone()

        def forward_of(attention):
            def attended(queries, context, values):
                keys, values = attention.to_k(context), attention.to_v(values)
                return optimized_attention(queries, keys, values, attention.heads)

            def forward(x, context=None, value=None, transformer_options=None, **_settings):
                queries, other = attention.to_q(x), in_place_of_positives(held, context, transformer_options)
                own = attended(queries, context, context if value is None else value)
                return attention.to_out((own + attended(queries, other, other)) / 2)

            return forward

        for name, module in model.model.diffusion_model.named_modules():
            if name.endswith("attn2"):
                clone.add_object_patch(f"diffusion_model.{name}.forward", forward_of(module))
        return io.NodeOutput(clone)


class HelperReplacedAttention(io.ComfyNode):
    """The layers' attention replaced by one that projects a second prompt apart from the first, as couples do."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HelperReplacedAttention",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.Conditioning.Input("second")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, second):
        from comfy.ldm.modules.attention import optimized_attention

        held, clone, net = second[0][0], model.clone(), model.model.diffusion_model

        def replacing(attention):
            def replace(queries, keys, values, options):
                own = optimized_attention(queries, keys, values, options["n_heads"])
                context = held.to(keys)
                keys = in_place_of_positives(attention.to_k(context), keys, options)
                values = in_place_of_positives(attention.to_v(context), values, options)
                return (own + optimized_attention(queries, keys, values, options["n_heads"])) / 2

            return replace

        blocks = {("input", n): block for n, block in enumerate(net.input_blocks)} | {("middle", 0): net.middle_block}
        blocks |= {("output", n): block for n, block in enumerate(net.output_blocks)}
        for place, block in blocks.items():
            for module in block:
                if hasattr(module, "transformer_blocks"):
                    clone.set_model_attn2_replace(replacing(module.transformer_blocks[0].attn2), *place)
        return io.NodeOutput(clone)

"""Models compiled as the host's node for it does, by a backend that keeps the graphs and needs no C++ compiler."""

from __future__ import annotations

import importlib


def compile_first_block(model, layer: str, graphs: list) -> None:
    """Compile the block of ``layer``, such as ``blocks.0.cross_attn``, with the node's own guards; a MODEL, in place.

    What is compiled is appended to ``graphs``. The whole network, which the node compiles, takes ten times as long.
    """
    node = importlib.import_module("comfy_extras.nodes_torch_compile")
    compiled = importlib.import_module("comfy_api.torch_helpers").set_torch_compile_wrapper

    def backend(graph, _inputs, **_options):
        graphs.append(graph)
        return graph.forward

    block = ".".join(layer.split(".")[:2])
    options = {"guard_filter_fn": node.skip_torch_compile_dict}
    compiled(model, backend, options=options, keys=[f"diffusion_model.{block}"])

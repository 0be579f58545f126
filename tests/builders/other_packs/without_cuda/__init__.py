"""A custom node folder without nodes: packs that ask for CUDA whatever there is compute on the processor."""

import torch

if not torch.cuda.is_available():
    torch.Tensor.cuda = lambda tensor, *_args, **_settings: tensor

NODE_CLASS_MAPPINGS: dict[str, type] = {}

"""Private copies of a CLIP's text encoders, ready to encode and to start a new word, for every kind of CLIP."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .clip import vocabulary
from .vocabularies import superclass_tokens


@torch.no_grad()
def embedding_of(encoder: nn.Module, token: int) -> Tensor:
    """A token's embedding (width,), float32, as the text encoder itself reads it, however its table is packed."""
    table = encoder.transformer.get_input_embeddings()
    return table(torch.tensor([token], device=table.weight.device), out_dtype=torch.float32)[0].clone()


class OwnEncoders:
    """Text encoders and vocabularies of one CLIP, for one superclass."""

    spelled = "{}"
    """The superclass as it stands in a prompt: some vocabularies read a word otherwise behind another."""

    def __init__(self, clip, encoders: Mapping[str, nn.Module], superclass: str, device: torch.device) -> None:
        self.clip, self.encoders, self.superclass, self.device = clip, dict(encoders), superclass, device
        layer = {} if clip.layer_idx is None else {"layer": clip.layer_idx}
        for encoder in self.encoders.values():
            encoder.reset_clip_options()
            encoder.set_clip_options({"execution_device": device, **layer})

    def initial_embeddings(self) -> dict[str, Tensor]:
        """Text encoder name -> the embedding (width,) of the superclass's last token, from which the word starts."""
        return {name: embedding_of(encoder, self.last_token(name)) for name, encoder in self.encoders.items()}

    def last_token(self, name: str) -> int:
        """Id of the superclass's last token for one text encoder."""
        return superclass_tokens(vocabulary(self.clip, name), self.spelled.format(self.superclass))[-1]

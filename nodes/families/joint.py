"""Families whose text and picture share one attention: concepts with a position gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ...perfusion_ops import FlowSchedule, GateKind
from .recompute import recompute
from .rectified_flow import flow_schedule
from .rotations import check_rotations
from .second_text import SecondText

Layers = dict[str, tuple[nn.Module, int]]
"""Layer name -> the module whose call comes last before the layer's attention, and the width of its values."""


@dataclass(frozen=True)
class JointFamily:
    """One family of transformers with joint attention. Made of functions, one line a fact."""

    name: str
    """As concept files name it."""
    title: str
    """As people call it."""
    configs: tuple[type, ...]
    """The host's classes of its checkpoints."""
    layers: Callable[[nn.Module], Layers]
    blocks: Callable[[nn.Module], Iterable[nn.Module]]
    """What is computed again in the backward pass, to keep no activations."""
    text_layer: Callable[[nn.Module], nn.Module] = lambda net: net.txt_in
    """The matrix of the network that reads a prompt's encodings."""
    text_places: Callable[[Tensor, nn.Module], Tensor] = lambda marks, net: marks
    """Marks (B, T, J) of a prompt as it stands in the attention's sequence: with the padding that the model adds."""
    around: Callable[[nn.Module, int, Mapping[str, Any]], tuple[int, int | None]] = lambda *_facts: (0, None)
    """(network, the picture's places, the model call's entries) -> how many places stand before the prompt's, and how
    many behind the picture; none: the picture follows the prompt, and whatever else there is follows the picture."""
    beside: Callable[[Mapping[str, Any]], int] = lambda entries: 0
    """(the model call's entries) -> columns of a latent that the network reads right of the picture, in every row."""
    text_first: bool = True
    """Whether the text stands before the picture; else behind it."""
    second: SecondText | None = None
    """A text beside the encodings, which stands behind them."""
    differentiable: Callable[[nn.Module], None] = lambda net: None
    """Let gradients pass through a private copy."""
    options: Callable[[Tensor], dict[str, Any]] = lambda encodings: {}
    """(encodings (B, T, d)) -> the options that the host's model sets before it calls its network."""
    guidance: float = 4.0
    """The sampler's cfg for previews."""
    sides: tuple[int, int] = (8, 8)
    """Of training pictures in pixels: what both are multiples of, and what they measure at least, on average."""
    setting: str | None = None
    """What the host sets in its checkpoints alone, where the host's class is another family's too."""
    kin: Mapping[str, str] = field(default_factory=dict)
    """What the host sets in another model's checkpoints of the same class -> that model, as people call it."""
    rotary: bool = True
    """Whether places are told by rotations."""
    joint = True
    transformer = True
    covariance_mix = None
    entry = None
    gates = (GateKind.POSITION,)

    def fits(self, model) -> bool:
        """Whether a MODEL is of this family, and no relative that shares its class."""
        config = model.model.model_config
        if type(config) not in self.configs or self.relative(config):
            return False
        return self.setting is None or bool(config.unet_config.get(self.setting))

    def relative(self, config) -> str | None:
        """The other model whose checkpoint a ``config`` of this family's classes is, if there is one."""
        found = [title for setting, title in self.kin.items() if config.unet_config.get(setting)]
        return found[0] if found else None

    def value_widths(self, net: nn.Module) -> dict[str, int]:
        """Layer name -> width of its values."""
        return {name: width for name, (_, width) in self.layers(net).items()}

    def context_width(self, net: nn.Module) -> None:
        """None: no projection reads the prompt's encodings alone."""
        return None

    def text_width(self, net: nn.Module) -> int:
        """The width of the text encoder's encodings."""
        return self.text_layer(net).in_features

    def reading_layers(self, _net: nn.Module) -> None:
        """None: the edit is made in the attention, whatever layers read the prompt before."""
        return None

    def kept(self, _encodings: Tensor, _context: Tensor) -> None:
        """None: a position gate opens at marked tokens alone."""
        return None

    def check_trainable(self, model) -> None:
        """Raise ValueError for a model that reads more than a noisy latent, or samples by another schedule."""
        reads, latent = model.model.model_config.unet_config.get("in_channels"), model.model.latent_format
        if reads is not None and reads not in (latent.latent_channels, 4 * latent.latent_channels):
            raise ValueError(
                f"The model reads {reads} channels, as inpainting and editing models do; training expects the "
                f"{latent.latent_channels} of a latent. Load the text-to-image checkpoint it was made from."
            )
        self.noise_schedule(model)
        if self.rotary:
            check_rotations(self.title)

    def noise_schedule(self, model) -> FlowSchedule:
        """The model's own rectified flow with its shift. Raises ValueError for another kind of schedule."""
        return flow_schedule(model, self.title)

    def recompute(self, net: nn.Module) -> None:
        """Compute the blocks of a private copy again in the backward pass."""
        recompute(self.blocks(net))


def clone_norm_inputs(net: nn.Module) -> None:
    """Let norms of a private copy keep their own input: the host adds to it in place, which backward must not see."""
    for module in net.modules():
        if "Norm" in type(module).__name__ and not list(module.children()):
            module.register_forward_pre_hook(lambda _module, args: (args[0].clone(), *args[1:]))


def padded_right(marks: Tensor, multiple: int | None) -> Tensor:
    """Marks (B, T, J) with zeros behind, to a multiple of ``multiple`` tokens."""
    return marks if not multiple else nn.functional.pad(marks, (0, 0, 0, -marks.shape[1] % multiple))


def padded_left(marks: Tensor, length: int) -> Tensor:
    """Marks (B, T, J) with zeros before, to at least ``length`` tokens."""
    return nn.functional.pad(marks, (0, 0, max(0, length - marks.shape[1]), 0))

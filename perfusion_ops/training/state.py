"""What training changes from step to step, and its checkpoint on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..concept.concept import ENCODINGS, Concept, GateKind, KeyLocking
from ..edit.injection import InjectedEdit
from ..files.atomic import write_atomically
from .memory import MemoryUse
from .rates import Sizes, parameter_groups, use_sizes, waits_for_sizes
from .settings import STRAIGHT_THROUGH, TrainingSettings
from .task import TrainingTask


@dataclass
class TrainingState:
    """Trainable parameters, their optimiser, the moving average ``i*``, and the random stream."""

    word_embeddings: dict[str, Tensor]
    value_residuals: dict[str, Tensor]
    key_residuals: dict[str, Tensor]
    superclass_encoding: Tensor | None
    inverse_covariance: Tensor | None
    """Scaled so that its mean diagonal is 1."""
    target_input: Tensor | None
    """None, as the two before, for a position gate."""
    optimizer: torch.optim.Optimizer
    random_state: Tensor
    memory: MemoryUse
    step: int = 0
    losses: list[float] = field(default_factory=list)
    sizes: dict[str, Tensor] = field(default_factory=dict)
    """What relative rates of residuals are shares of, by the residual's name here; empty before the first step."""

    @classmethod
    def start(cls, task: TrainingTask, settings: TrainingSettings) -> TrainingState:
        """Everything at the superclass: ``i* = i_s``, ``o*_V = W_V i_s``, the word its last token."""
        words, keys, superclass_encoding, inverse = {}, {}, None, None
        edited = settings.layers.among(task.value_widths.items())
        values = {layer: torch.zeros(width, device=task.device) for layer, width in edited}
        if settings.gate_kind is GateKind.LEARNED_WORD:
            with torch.no_grad():
                superclass_encoding = task.superclass_encoding()
                words = {name: e.float().to(task.device) for name, e in task.encoder.initial_embeddings().items()}
            inverse = task.inverse_covariance / task.inverse_covariance.diagonal().mean()
            inverse = inverse.to(task.device, torch.float32)
            if settings.key_locking is KeyLocking.TRAINED:
                to_k = {layer: pair[0] for layer, pair in task.projections.items()}
                keys = {layer: torch.zeros(k.out_features, device=task.device) for layer, k in to_k.items()}
        # Adam's steps do not depend on a gradient's scale, so each group needs its own learning rate.
        groups = parameter_groups(words, values, keys, settings)
        for parameter in (parameter for group in groups for parameter in group["params"]):
            parameter.requires_grad_()
        return cls(
            word_embeddings=words,
            value_residuals=values,
            key_residuals=keys,
            superclass_encoding=superclass_encoding,
            inverse_covariance=inverse,
            target_input=None if superclass_encoding is None else superclass_encoding.clone(),
            optimizer=torch.optim.Adam(groups, weight_decay=0.0),
            random_state=torch.Generator().manual_seed(settings.seed).get_state(),
            memory=MemoryUse.at_first(settings, task.device),
        )

    def followed_target_input(self, concept_encoding: Tensor, settings: TrainingSettings) -> Tensor:
        """``i*`` of this step (d,): the moving average after taking in ``concept_encoding`` (d,).

        Straight-through: its value is the average, its gradient that of the encoding.
        """
        decay = settings.target_input_decay
        average = decay * self.target_input + (1 - decay) * concept_encoding.detach()
        if settings.target_input_gradient == STRAIGHT_THROUGH:
            return average + (concept_encoding - concept_encoding.detach())
        return average

    @contextmanager
    def measuring(self, injected: InjectedEdit) -> Iterator[None]:
        """Around the forwards of a step: the first one takes the sizes that a relative rate needs."""
        if self.sizes or not waits_for_sizes(self.optimizer):
            yield
            return
        sizes = Sizes()
        injected.observer = sizes.observe
        try:
            yield
        finally:
            injected.observer = None
        self.sizes = sizes.found()
        use_sizes(self.optimizer, self.sizes)

    def is_finite(self) -> bool:
        """Whether everything learned is finite: a finite loss may have had a gradient that is not."""
        learned = [*self.word_embeddings.values(), *self.value_residuals.values(), *self.key_residuals.values()]
        learned += [] if self.target_input is None else [self.target_input]
        return bool(torch.stack([tensor.isfinite().all() for tensor in learned]).all())

    def concept(self, task: TrainingTask, settings: TrainingSettings) -> Concept:
        """A frozen copy of what was learned so far."""
        return Concept(
            word=task.word,
            superclass=task.superclass,
            base_family=task.base_family,
            **self._encodings(),
            word_embeddings=_on_the_cpu(self.word_embeddings),
            value_residuals=_on_the_cpu(self.value_residuals),
            key_residuals=_on_the_cpu(self.key_residuals),
            metadata={**task.metadata, "training": settings.as_text(self.step)},
            gate=settings.gate_kind,
        )

    def _encodings(self) -> dict[str, Tensor]:
        if self.target_input is None:
            return {}
        target_input = self.target_input.detach().float().cpu()
        dual = self.inverse_covariance.cpu().double() @ target_input.double()
        superclass_encoding = self.superclass_encoding.detach().float().cpu()
        return dict(zip(ENCODINGS, (target_input.clone(), dual.float(), superclass_encoding), strict=True))

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"random_state": self.random_state}
        if self.target_input is not None:
            tensors["target_input"] = self.target_input
        for group in ("word_embeddings", "value_residuals", "key_residuals", "sizes"):
            tensors |= {f"{group}/{name}": tensor for name, tensor in getattr(self, group).items()}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def save(self, path: Path, identity: str) -> None:
        """Write everything a bit-exact resume needs, atomically. ``identity`` names the run it belongs to."""
        tensors = self._tensors()
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": value.detach().cpu() for name, value in moments.items()}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        sizes = {"micro_batch": self.memory.pictures, "text_batch": self.memory.templates}
        metadata = {"identity": identity, **{name: str(size) for name, size in {"step": self.step, **sizes}.items()}}
        write_atomically(path, save(tensors, metadata))

    def restore(self, path: Path, identity: str) -> None:
        """Continue the run saved at ``path``. Raises ValueError if it is another run's or damaged."""
        metadata, saved = _checkpoint(path)
        if metadata.get("identity") != identity:
            raise ValueError(
                f"The checkpoint {path.name!r} belongs to a training with other pictures or settings; expected "
                "the same as now. Delete it to start anew."
            )
        with torch.no_grad():
            for group in ("word_embeddings", "value_residuals", "key_residuals"):
                for name, tensor in getattr(self, group).items():
                    tensor.copy_(saved[f"{group}/{name}"])
        if self.target_input is not None:
            self.target_input = saved["target_input"].to(self.target_input)
        self.random_state = saved["random_state"]
        self.losses = saved["losses"].tolist()
        self.step = int(metadata["step"])
        # What memory allowed then, or less if less is asked for now.
        self.memory.pictures = min(self.memory.pictures, int(metadata["micro_batch"]))
        self.memory.templates = min(self.memory.templates, int(metadata.get("text_batch", self.memory.templates)))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in saved.items():
            if name.startswith("adam/"):
                _, index, moment = name.split("/")
                moments.setdefault(int(index), {})[moment] = tensor
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        self.sizes = {name.removeprefix("sizes/"): size for name, size in saved.items() if name.startswith("sizes/")}
        if self.sizes:
            use_sizes(self.optimizer, self.sizes)


def saved_step(path: Path) -> int:
    """The step at which the checkpoint at ``path`` goes on. Raises ValueError when it cannot be read."""
    metadata, _tensors = _checkpoint(path)
    return int(metadata.get("step", 0))


def _on_the_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 copies, in one transfer: an accelerator waits at every one."""
    if not tensors:
        return {}
    together = torch.cat([tensor.detach().float().flatten() for tensor in tensors.values()]).cpu()
    parts = together.split([tensor.numel() for tensor in tensors.values()])
    return {name: part.view(tensors[name].shape).clone() for name, part in zip(tensors, parts, strict=True)}


def _checkpoint(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint. Raises ValueError when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"The checkpoint {path.name!r} is damaged ({error}). Delete it to start anew.") from error

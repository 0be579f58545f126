"""A text encoder and a denoiser small enough to differentiate by hand: what ``train`` needs and nothing more."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from perfusion_ops import Encoded, NoiseSchedule, Picture, TrainingSettings, TrainingTask
from perfusion_ops.text.prompts import split_template

LENGTH = 10


SHORT = TrainingSettings(steps=12, batch_size=6, micro_batch=4, checkpoint_every=5, report_every=4, seed=7)


def assert_same_concept(a, b) -> None:
    for name in ("target_input", "target_dual", "superclass_encoding"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    for group in ("word_embeddings", "value_residuals", "key_residuals"):
        assert getattr(a, group).keys() == getattr(b, group).keys()
        assert all(torch.equal(getattr(a, group)[k], getattr(b, group)[k]) for k in getattr(a, group)), group


class TinyTextEncoder(nn.Module):
    """Words are hashed by their letters; one causal attention layer mixes them."""

    def __init__(self, superclass: str, width: int = 16, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.table, self.positions = normal(64, width), 0.1 * normal(LENGTH, width)
        self.mix = normal(width, width) / width**0.5
        self.superclass = superclass.split()
        self.distinct: list[int] = []
        """How many templates each call was given."""

    def word(self, word: str) -> Tensor:
        return self.table[sum(map(ord, word)) % 61]

    def initial_embeddings(self) -> dict[str, Tensor]:
        return {"l": self.word(self.superclass[-1]).clone()}

    def encode(self, templates, embeddings) -> Encoded:
        rows, positions = [], []
        for template in templates:
            before, after = split_template(template)
            words = [self.word(w) for w in (*before.split(), *self.superclass)]
            positions.append(len(words))
            if embeddings is not None:
                words[-1] = embeddings["l"].to(self.table)
            words += [self.word(w) for w in after.split()]
            rows.append(torch.stack([self.table[62], *words, *[self.table[63]] * (LENGTH - 1 - len(words))]))
        x = torch.stack(rows) + self.positions
        self.distinct.append(len(templates))
        x = x + functional.scaled_dot_product_attention(x, x, x @ self.mix, is_causal=True)
        keep = torch.zeros(x.shape[:2], dtype=torch.bool)
        keep[:, 0] = True
        return Encoded(functional.layer_norm(x, x.shape[-1:]), torch.tensor(positions), keep)

    def superclass_encodings(self, templates) -> torch.Tensor:
        return self.encode(templates, None).concept_encodings()


class TinyDenoiser(nn.Module):
    """Two cross-attention layers over latent pixels, frozen."""

    def __init__(
        self, width: int = 16, channels: int = 4, hidden: int = 12, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.into, self.out = nn.Conv2d(channels, hidden, 3, padding=1), nn.Conv2d(hidden, channels, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"q": nn.Linear(hidden, hidden), "k": nn.Linear(width, hidden, False),
                           "v": nn.Linear(width, hidden, False), "o": nn.Identity()}) for _ in range(2)
        )  # fmt: skip
        self.to(dtype).requires_grad_(False)

    @property
    def projections(self):
        return {f"layer{i}": (layer["k"], layer["v"]) for i, layer in enumerate(self.layers)}

    def forward(self, noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
        x = self.into(noisy) + (timesteps.to(noisy) / 100).view(-1, 1, 1, 1)
        for layer in self.layers:
            flat = x.flatten(2).mT
            q, k, v = layer["q"](flat), layer["k"](encodings), layer["v"](encodings)
            flat = flat + layer["o"](functional.scaled_dot_product_attention(q, k, v))
            x = functional.silu(flat).mT.reshape(x.shape)
        return self.out(x)


def tiny_task(superclass: str = "cat", sizes=((6, 6), (6, 8), (6, 6)), **changes) -> TrainingTask:
    generator = torch.Generator().manual_seed(3)
    pictures = []
    for height, width in sizes:
        latent = torch.randn(4, height, width, generator=generator)
        pictures.append(Picture(latent, torch.rand(height, width, generator=generator) + 0.1, latent.flip(-1)))
    denoiser = TinyDenoiser()
    root = torch.randn(16, 16, generator=generator)
    settings = {
        "word": "<mycat>",
        "superclass": superclass,
        "base_family": "tiny",
        "pictures": pictures,
        "encoder": TinyTextEncoder(superclass),
        "predict": denoiser,
        "projections": denoiser.projections,
        "schedule": NoiseSchedule(torch.linspace(0.999, 0.01, 100)),
        "inverse_covariance": torch.linalg.inv(root @ root.mT + torch.eye(16)),
        "templates": ("a photo of a {}", "my {} at night", "the {}"),
    }
    return TrainingTask(**(settings | changes))

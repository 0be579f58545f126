"""A frozen text encoder of CLIP-L's shape with seeded weights: 12 layers of width 768, of which two do anything."""
import json
import zlib
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .known import known_individuals
from .traits import Traits

WIDTH, HEADS, LAYERS, LENGTH = 768, 12, 12, 77
START, END = 49406, 49407
ACTIVE_LAYERS = 2
COPY, MIX = 0.8, 0.5
"""How much of the attended words a layer adds to a token as they are, and through a random rotation."""
SHARPNESS = 1.0
"""Standard deviation of the attention's logits between different words."""
POSITION_SCALE = 0.15
LOOK_SHARE, OWN_SHARE = 0.6, 0.3
"""How much each trait, and what is the name's alone, weigh beside the class in a known individual's name."""

VOCABULARY: dict[str, list[int]] = json.loads(Path(__file__).with_name("vocabulary.json").read_text())
"""Word -> its token ids in CLIP's vocabulary."""


def half_precision(array: np.ndarray) -> np.ndarray:
    """Rounded to float16's numbers, in float32: so the checkpoint can hold the same weights at half the size."""
    return array.astype(np.float16).astype(np.float32)


def token_embedding(token_id: int) -> np.ndarray:
    """The embedding row of one token id (768,), about unit variance, from numpy's frozen legacy stream.

    The name of a known individual lies near its class and near those that look alike, as such words do in CLIP.
    """
    own = np.random.RandomState(token_id).standard_normal(WIDTH)
    if token_id not in _known_tokens():
        return half_precision(own)
    class_word, traits = _known_tokens()[token_id]
    class_token = VOCABULARY[class_word.split()[-1]][-1]
    looks = [trait_direction(trait, value) for trait, value in asdict(traits).items()]
    row = np.random.RandomState(class_token).standard_normal(WIDTH) + LOOK_SHARE * sum(looks) + OWN_SHARE * own
    return half_precision(row / (1 + len(looks) * LOOK_SHARE**2 + OWN_SHARE**2) ** 0.5)


def trait_direction(trait: str, value: str) -> np.ndarray:
    """What the names of all individuals with one value of a trait have in common (768,), unit variance."""
    seed = zlib.crc32(f"{trait} {value}".encode())
    return np.random.RandomState(seed).standard_normal(WIDTH)


@cache
def _known_tokens() -> dict[int, tuple[str, Traits]]:
    return {VOCABULARY[name][0]: who for name, who in known_individuals().items()}


def position_embedding() -> np.ndarray:
    """(77, 768), small beside the words."""
    return half_precision(POSITION_SCALE * np.random.RandomState(1_000_000).standard_normal((LENGTH, WIDTH)))


def layer_weights(layer: int) -> dict[str, np.ndarray]:
    """The attention matrices of one active layer, (768, 768) each, rows outputs."""
    rng = np.random.RandomState(2_000_000 + layer)
    random = [rng.standard_normal((WIDTH, WIDTH)) / WIDTH ** 0.5 for _ in range(3)]
    # A head's logit is q.k / 8 over 64 dimensions: unit variance for unit-variance queries and keys.
    weights = {
        "q_proj": SHARPNESS * random[0],
        "k_proj": random[1],
        "v_proj": np.eye(WIDTH),
        "out_proj": COPY * np.eye(WIDTH) + MIX * random[2],
    }
    return {name: half_precision(weight) for name, weight in weights.items()}


class Attention(nn.Module):
    """Causal multi-head attention with CLIP's parameter names."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        heads = [proj(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)]
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """One encoder layer; its MLP's output projection is zero and is therefore left out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(WIDTH)
        self.self_attn = Attention()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.self_attn(self.layer_norm1(x))


class TextEncoder(nn.Module):
    """Encodes prompts of the words in vocabulary.json; a prompt's token may also be a raw embedding vector (768,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(ACTIVE_LAYERS))
        self.final_layer_norm = nn.LayerNorm(WIDTH)
        for index, layer in enumerate(self.layers):
            nn.init.zeros_(layer.self_attn.q_proj.bias)
            for name, weight in layer_weights(index).items():
                projection = getattr(layer.self_attn, name)
                projection.weight.data = torch.from_numpy(weight)
                nn.init.zeros_(projection.bias)
        ids = sorted({START, END, *(token for tokens in VOCABULARY.values() for token in tokens)})
        self.rows = {token: index for index, token in enumerate(ids)}
        rows = np.stack([token_embedding(token) for token in ids])
        self.token_embedding = nn.Embedding.from_pretrained(torch.from_numpy(rows))
        self.position_embedding = nn.Embedding.from_pretrained(torch.from_numpy(position_embedding()))
        self.requires_grad_(False)

    def word_embedding(self, word: str) -> Tensor:
        """The embedding of a word's last token (768,): where a concept word starts from."""
        return self.token_embedding.weight[self.rows[VOCABULARY[word][-1]]].clone()

    def tokens(self, prompt: str, words: dict[str, Tensor] | None = None) -> list[int | Tensor]:
        """Start, the prompt's token ids, end, padding: 77 in all. `words` gives raw vectors for words of its own.

        Raises ValueError for a word that neither holds, and for more than 75 tokens.
        """
        words = words or {}
        body: list[int | Tensor] = []
        for word in prompt.split():
            if word in words:
                body.append(words[word])
            elif word in VOCABULARY:
                body.extend(VOCABULARY[word])
            else:
                raise ValueError(f"The pixel world has no word {word!r}; known are {', '.join(sorted(VOCABULARY))}.")
        if len(body) > LENGTH - 2:
            raise ValueError(f"The prompt has {len(body)} tokens, at most {LENGTH - 2} fit: {prompt!r}.")
        return [START, *body, END] + [END] * (LENGTH - 2 - len(body))

    def embed(self, tokens: list[int | Tensor]) -> Tensor:
        """Token ids and raw vectors -> (77, 768), without positions."""
        rows = torch.tensor([self.rows[token] if isinstance(token, int) else 0 for token in tokens])
        embedded = self.token_embedding(rows)
        for position, token in enumerate(tokens):
            if not isinstance(token, int):
                embedded = embedded.index_put((torch.tensor(position),), token.to(embedded.dtype))
        return embedded

    def forward(self, embedded: Tensor) -> Tensor:
        """Embedded tokens (batch, at most 77, 768) -> encodings of the same shape; causal, so a prefix stands alone."""
        x = embedded + self.position_embedding.weight[: embedded.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.final_layer_norm(x)

    def encode(self, prompts: list[str], words: dict[str, Tensor] | None = None) -> Tensor:
        """Encodings (len(prompts), 77, 768), differentiable to the vectors in `words` (word -> (768,))."""
        return self(torch.stack([self.embed(self.tokens(prompt, words)) for prompt in prompts]))

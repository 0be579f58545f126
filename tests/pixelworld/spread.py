"""How far a word's energy spreads over the tokens behind it: python -m pixelworld.spread"""
import numpy as np
import torch
from torch import Tensor

from .captions import sample_caption
from .text_encoder import TextEncoder

OFFSETS = (0, 1, 2, 4, 8, 16, 32, 64)
DAMPING = 0.01
"""Share of the mean eigenvalue added to the covariance, which few words leave singular."""


def word_position(prompt: str, word: str) -> int:
    """Where the word's last token stands."""
    before = prompt[: prompt.index(word) + len(word)]
    return len(before.split())


@torch.no_grad()
def similarities(encoder: TextEncoder, prompts: list[str], words: list[str], inverse: Tensor) -> Tensor:
    """Mean absolute similarity of the token `OFFSETS` behind each word to the word's own encoding: (len(OFFSETS),)."""
    encodings = encoder.encode(prompts).double()
    rows = []
    for tokens, prompt, word in zip(encodings, prompts, words, strict=True):
        position = word_position(prompt, word)
        target = tokens[position]
        behind = tokens[[position + offset for offset in OFFSETS]]
        rows.append((behind @ inverse @ target / (target @ inverse @ target)).abs())
    return torch.stack(rows).mean(0)


@torch.no_grad()
def influence(encoder: TextEncoder, prompts: list[str], words: list[str], other: str) -> Tensor:
    """How much each token behind a word changes when the word does, by the word's own change: (len(OFFSETS),)."""
    one = encoder.encode(prompts)
    two = encoder.encode([prompt.replace(word, other) for prompt, word in zip(prompts, words, strict=True)])
    rows = []
    for change, prompt, word in zip((one - two).norm(dim=-1), prompts, words, strict=True):
        position = word_position(prompt, word)
        rows.append(change[[position + offset for offset in OFFSETS]] / change[position])
    return torch.stack(rows).mean(0)


def main() -> None:
    encoder, rng = TextEncoder(), np.random.RandomState(7)
    captions = [sample_caption(rng) for _ in range(160)]
    with torch.no_grad():
        vectors = encoder.encode([caption.text() for caption in captions]).double().flatten(0, 1)
    covariance = vectors.T @ vectors / len(vectors)
    inverse = torch.linalg.inv(covariance + DAMPING * covariance.diagonal().mean() * torch.eye(len(covariance)))
    chosen = [caption for caption in captions if " " not in caption.class_word][:32]
    prompts, words = [caption.text() for caption in chosen], [caption.class_word for caption in chosen]
    spread = similarities(encoder, prompts, words, inverse)
    changed = influence(encoder, prompts, words, "teapot")
    print("| tokens behind the word | similarity, absolute | change when the word changes |\n| --- | --- | --- |")
    for offset, similarity, change in zip(OFFSETS, spread.tolist(), changed.tolist(), strict=True):
        print(f"| {offset} | {similarity:.3f} | {change:.3f} |")


if __name__ == "__main__":
    main()

"""Prompts encoded up to their end token: a text encoder is causal, so what follows changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from torch import nn

from .clip import text_encoder, text_encoder_names, tokenizer
from .spans import place_of


def cut_after(clip, tokens: int | None) -> AbstractContextManager[None]:
    """Inside, the text encoders of ``clip`` compute only the first ``tokens`` tokens of each prompt; none means all."""
    return first_tokens([text_encoder(clip, name) for name in text_encoder_names(clip)], tokens)


@contextmanager
def first_tokens(encoders: Iterable[nn.Module], tokens: int | None) -> Iterator[None]:
    """Inside, ``encoders`` compute only the first ``tokens`` tokens of each prompt; none means all.

    The host adds all its positions to every prompt, so prompts go in at full length and are cut behind that, where the
    transformer's layers begin. Its pooled encoding is taken at the end token, which must not be cut off.
    """

    def cut(_module, args, kwargs):
        embedded, *others = args
        mask = kwargs["mask"][..., :tokens, :tokens]
        return (embedded[:, :tokens], *others), {**kwargs, "mask": mask}

    with ExitStack() as stack:
        for encoder in encoders:
            layers = encoder.transformer.text_model.encoder
            stack.callback(layers.register_forward_pre_hook(cut, with_kwargs=True).remove)
        yield


def batches(clip, captions: Sequence[str], padded: int, size: int) -> list[tuple[list[str], int | None]]:
    """``captions`` in batches of ``size``, each with the number of tokens to encode; none means all, with padding.

    ``padded`` captions, evenly spread, are to be encoded in full; the others, alike in length, to the end token of the
    longest in their batch.
    """
    spread = {number * len(captions) // padded for number in range(padded)}
    whole = [caption for number, caption in enumerate(captions) if number in spread]
    lengths = [(_length(clip, caption), caption) for number, caption in enumerate(captions) if number not in spread]
    lengths.sort(key=lambda pair: pair[0])
    found = [(whole[first : first + size], None) for first in range(0, len(whole), size)]
    for first in range(0, len(lengths), size):
        group = lengths[first : first + size]
        found.append(([caption for _, caption in group], group[-1][0]))
    return found


def _length(clip, caption: str) -> int:
    """Tokens up to and with the end token of a caption's first chunk; all vocabularies of a CLIP read it alike."""
    first = tokenizer(clip, text_encoder_names(clip)[0])
    tokens = [token for token, _weight in first.tokenize_with_weights(caption)[0]]
    return place_of(first.end_token, tokens, 1) + 1

"""How other packs' nodes call a CLIP: each function encodes a text as one of them does, (encodings, pooled)."""

from __future__ import annotations

import copy

import numpy as np
import torch


def encoders_of(clip) -> list[str]:
    return [name for name in ("l", "g") if hasattr(clip.cond_stage_model, f"clip_{name}")]


def one_by_one(clip, text: str):
    """By the class of the text encoder, then each encoder alone, scaled and joined (ADV_CLIP_emb, SDXL)."""
    from comfy.sdxl_clip import SDXLClipModel

    tokens = clip.tokenize(text, return_word_ids=True)
    if isinstance(clip.cond_stage_model, SDXLClipModel) != (len(encoders_of(clip)) == 2):
        raise TypeError(f"the text encoder is {type(clip.cond_stage_model).__name__}, not the host's")
    clip.load_model()
    parts = []
    for name in encoders_of(clip):
        pairs = [[(token, weight) for token, weight, _word in chunk] for chunk in tokens[name]]
        encodings, pooled = getattr(clip.cond_stage_model, f"clip_{name}").encode_token_weights(pairs)
        parts.append(encodings * 0.9)
    return torch.cat(parts, dim=-1), pooled


def renormed(clip, text: str):
    """Weights token by token, then the old mean again (A1111)."""
    encodings, pooled = clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)
    weights = torch.linspace(0.5, 1.5, encodings.shape[1]).reshape(1, -1, 1).expand(encodings.shape)
    weighted = encodings * weights
    return (encodings.mean() / weighted.mean()) * weighted, pooled


def masked_one_by_one(clip, text: str):
    """The prompt and the prompt without each word, mixed by masks and weights (compel, comfy++)."""
    tokens = clip.tokenize(text, return_word_ids=True)
    base, pooled = clip.encode_from_tokens(_pairs(tokens, None), return_pooled=True)
    last = max(word for chunk in tokens["l"] for _token, _weight, word in chunk)
    embs = torch.cat([clip.encode_from_tokens(_pairs(tokens, word)) for word in range(1, last + 1)])
    mask = torch.tensor(np.arange(base.shape[1]) % 2 == 0, dtype=base.dtype).reshape(1, -1, 1)
    embs = base.expand(embs.shape) - embs
    embs *= mask
    weighted = base + 0.3 * embs.sum(axis=0, keepdim=True)
    return (torch.linalg.norm(base) / torch.linalg.norm(weighted)) * weighted, pooled


def _pairs(tokens: dict, left_out: int | None) -> dict:
    return {
        name: [[(266 if word == left_out else token, weight) for token, weight, word in chunk] for chunk in chunks]
        for name, chunks in tokens.items()
    }


def members_replaced(clip, text: str):
    """Every member that can encode gets another way to do so, for the time of a call (smZNodes)."""
    replaced = []
    try:
        for members in (clip.cond_stage_model.__dict__, clip.cond_stage_model.__dict__["_modules"]):
            for member in members.values():
                if hasattr(member, "encode_token_weights"):
                    member.encode_token_weights = _hstacked(member)
                    replaced.append(member)
        if len(replaced) != len(encoders_of(clip)):
            raise TypeError(f"{len(replaced)} members of the text encoder can encode")
        return clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)
    finally:
        for member in replaced:
            del member.encode_token_weights


def _hstacked(encoder):
    def encode_token_weights(chunks):
        parts = [encoder([[token for token, *_ in chunk]]) for chunk in chunks]
        return torch.hstack([encodings for encodings, _pooled in parts]), parts[0][1]

    return encode_token_weights


def object_patched(clip, text: str):
    """Each encoder's method, as the patcher knows it, wrapped on a clone (prompt-control)."""
    clone = clip.clone()
    for name in encoders_of(clip):
        path = f"clip_{name}.encode_token_weights"
        inner = clip.patcher.get_model_object(path)
        clone.patcher.add_object_patch(path, lambda tokens, inner=inner: _scaled(inner(tokens)))
    return clone.encode_from_tokens(clone.tokenize(text), return_pooled=True)


def _scaled(output: tuple):
    encodings, *others = output
    return (torch.stack([token * 1.1 for token in encodings.unbind(1)], 1), *others)


def copied(clip, text: str):
    clone = copy.copy(clip)
    return clone.encode_from_tokens(clone.tokenize(text), return_pooled=True)


def last_layer_set(clip, text: str):
    clone = clip.clone()
    clone.clip_layer(-2)
    return clone.encode_from_tokens(clone.tokenize(text), return_pooled=True)


def merged(clip, text: str):
    """Another CLIP's weights as patches on a clone (CLIPMergeSimple)."""
    clone = clip.clone()
    for name, weights in clip.get_key_patches().items():
        if not name.endswith((".position_ids", ".logit_scale")):
            clone.add_patches({name: weights}, 0.5, 0.5)
    return clone.encode_from_tokens(clone.tokenize(text), return_pooled=True)


PATTERNS = (
    one_by_one, renormed, masked_one_by_one, members_replaced, object_patched, copied, last_layer_set, merged
)  # fmt: skip

"""Small tokenizers in the forms that files of text encoders hold."""

from __future__ import annotations

import base64
import io
import json

import torch

TEXT = (
    "a photo of the teddy bear and a coffee cup, boat, cat, dog at sea by night in snow, high quality illustration of "
    "a red car on the road with soft light and clouds in the sky, an old house behind trees"
)


def pieces(**ids: int) -> torch.Tensor:
    """A small sentencepiece model (bytes,), as files of text encoders hold it. What it does not know it reads as bytes.
    """
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TEXT, TEXT.title()] * 20), model_writer=file, vocab_size=420, minloglevel=2,
        hard_vocab_limit=False, num_threads=1, byte_fallback=True, **{"bos_id": -1, **ids},
    )  # fmt: skip
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def tekken() -> torch.Tensor:
    """A tokenizer of single bytes (bytes,), in the form that Mistral's text encoder files hold."""
    special = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<pad>")
    vocabulary = [{"rank": n, "token_bytes": base64.b64encode(bytes([n])).decode()} for n in range(256)]
    told = {
        "config": {"default_vocab_size": 1256, "default_num_special_tokens": 1000},
        "vocab": vocabulary,
        "special_tokens": [{"rank": n, "token_str": token} for n, token in enumerate(special)],
    }
    return torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)

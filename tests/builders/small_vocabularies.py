"""Small tokenizers in the forms that files of text encoders hold."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import tempfile
from pathlib import Path
from typing import Any

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


def reads_llama() -> bool:
    """Whether the host has a tokenizer of its own for Llama."""
    return importlib.util.find_spec("comfy.text_encoders.bpe_tokenizer") is not None


def llama() -> dict[str, Any]:
    """A tokenizer of single bytes with Llama's special tokens, in the form of its ``tokenizer.json``."""
    from comfy.text_encoders import bpe_tokenizer

    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    vocabulary = {chr(byte): byte for byte in printed} | {chr(256 + n): byte for n, byte in enumerate(others)}
    special = {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|eot_id|>": 128009}
    pattern = {"Regex": bpe_tokenizer._LLAMA_PATTERN}
    return {
        "added_tokens": [{"id": number, "content": token, "special": True} for token, number in special.items()],
        "pre_tokenizer": {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin_of_text|>"}}]},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }


def read_instead_of_llama(words: dict[str, Any]) -> None:
    """Let the host read ``words`` for Llama's tokenizer, whose file of 17 MB not every copy of the host has."""
    from comfy.text_encoders import hunyuan_video

    whole = hunyuan_video.LlamaTokenizerFast

    def from_pretrained(_path: str, **settings):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tokenizer.json").write_text(json.dumps(words), encoding="utf-8")
            return whole.from_pretrained(folder, **settings)

    small = type("LlamaTokenizerFast", (), {"from_pretrained": staticmethod(from_pretrained)})
    hunyuan_video.LlamaTokenizerFast = small

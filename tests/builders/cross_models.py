"""Small random models and CLIPs of the families with text cross-attention, of the host's own classes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace

import torch

from .joint_models import randomize, small_model

WIDTH = 64
_COSMOS = {"max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16}
_COSMOS |= {"patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "model_channels": WIDTH}
_COSMOS |= {"num_blocks": 2, "num_heads": 4, "crossattn_emb_channels": WIDTH, "pos_emb_cls": "rope3d"}
_COSMOS |= {"pos_emb_learnable": True, "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30}
_COSMOS |= {"use_adaln_lora": True, "adaln_lora_dim": 16, "extra_per_block_abs_pos_emb": False}
_COSMOS |= {"rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0, "rope_t_extrapolation_ratio": 1.0}
_COSMOS |= {"rope_enable_fps_modulation": False}
_QWEN3 = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
_QWEN3 |= {"num_key_value_heads": 2}
_WAN = {"image_model": "wan2.1", "model_type": "t2v", "dim": WIDTH, "ffn_dim": 96, "num_heads": 4, "num_layers": 2}
_WAN |= {"text_dim": 48, "freq_dim": 32, "in_dim": 16, "out_dim": 16}
_PIXART = {"patch_size": 2, "in_channels": 4, "hidden_size": WIDTH, "num_heads": 4, "depth": 2, "mlp_ratio": 2.0}
_PIXART |= {"caption_channels": 48}
_HUNYUAN = {"image_model": "hydit", "hidden_size": WIDTH, "num_heads": 4, "depth": 4, "mlp_ratio": 2.0}
_HUNYUAN |= {"text_states_dim": 56, "text_states_dim_t5": 48}
_BERT = {"hidden_size": 56, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
_UMT5 = {"d_model": 48, "num_layers": 2, "d_ff": 64, "num_heads": 4, "d_kv": 16, "vocab_size": 96}
_T5 = {"d_model": WIDTH, "num_layers": 2, "d_ff": 96, "num_heads": 4, "d_kv": 16}


def _anima_clip():
    from comfy.text_encoders import anima

    return anima.AnimaTokenizer, anima.te()


def _cosmos_clip():
    from comfy.text_encoders import cosmos

    return cosmos.CosmosT5Tokenizer, cosmos.te()


@cache
def _pieces() -> torch.Tensor:
    """A sentencepiece model (bytes,), as the host finds it in a text encoder's file. UMT5's own is 4 MB of weights."""
    import sentencepiece

    file, words = io.BytesIO(), "a photo of the teddy bear coffee cup boat cat dog at sea by night in snow and red car"
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([words] * 20), model_writer=file, vocab_size=80, minloglevel=2, **ids,
        hard_vocab_limit=False, num_threads=1,
    )  # fmt: skip
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def _wan_clip():
    from comfy.text_encoders import wan

    return wan.WanT5Tokenizer, wan.te()


def _pixart_clip():
    from comfy.text_encoders import pixart_t5

    return pixart_t5.PixArtTokenizer, pixart_t5.pixart_te()


def _hunyuan_clip():
    from comfy.text_encoders import hydit

    return hydit.HyditTokenizer, hydit.HyditModel


def _narrow_adapter(net, operations) -> None:
    from comfy.ldm.anima.model import LLMAdapter

    sizes = {"source_dim": WIDTH, "target_dim": WIDTH, "model_dim": WIDTH, "num_layers": 1, "num_heads": 4}
    net.llm_adapter = LLMAdapter(**sizes, dtype=torch.float32, operations=operations)


@dataclass(frozen=True)
class Facts:
    """What is particular to a small model of one family."""

    config: str
    """Name of the host's class."""
    unet: dict
    clip: Callable
    """The host's tokenizer and text encoder."""
    encoder: str
    """The text encoder whose word is learned."""
    sizes: dict
    latent: tuple[int, ...] = (16, 1, 8, 8)
    embedding: int = WIDTH
    """Width of the word embedding."""
    parts: tuple[str, str] = ("k_proj", "v_proj")
    """What the host calls the projections of keys and values."""
    padded: int = 512
    """How many tokens the host pads a prompt to; 0 for none."""
    exact: bool = True
    """Whether local key locking is exact: a norm in every head, and no bias."""
    pieces: Callable | None = None
    """What its tokenizer reads from a text encoder's file."""
    narrow: Callable = lambda net, operations: None
    """Makes what no setting of the host's does narrow."""
    learned: bool = True
    """Whether it has the learned word; else the position gate alone."""
    beside: dict = field(default_factory=dict)
    """What the host's options say of a second text encoder."""


CROSS = {
    "anima": Facts(
        "Anima", {**_COSMOS, "image_model": "anima"}, _anima_clip, "qwen3_06b", _QWEN3, narrow=_narrow_adapter
    ),
    "cosmos2": Facts("CosmosT2IPredict2", {**_COSMOS, "image_model": "cosmos_predict2"}, _cosmos_clip, "t5xxl", _T5),
    "wan21": Facts(
        *("WAN21_T2V", _WAN, _wan_clip, "umt5xxl", _UMT5), embedding=48, parts=("k", "v"), exact=False, pieces=_pieces
    ),
    "pixart_sigma": Facts(
        *("PixArtSigma", {**_PIXART, "image_model": "pixart_sigma", "micro_condition": False, "pe_interpolation": 2}),
        *(_pixart_clip, "t5xxl", _T5 | {"d_model": 48}),
        # The host draws no side below 34.
        **{"latent": (4, 34, 34), "embedding": 48, "parts": ("kv_linear", "kv_linear"), "padded": 0, "exact": False},
    ),
    "hunyuan_dit": Facts(
        *("HunyuanDiT", _HUNYUAN, _hunyuan_clip, "hydit_clip", _BERT),
        **{"latent": (4, 8, 8), "parts": ("kv_proj", "kv_proj"), "pieces": _pieces, "learned": False},
        beside={"mt5xl_model_config": _UMT5},
    ),
}
LEARNED = [family for family, facts in CROSS.items() if facts.learned]
"""Those of which a concept may have a learned word."""


def cross_model(family: str, dtype: torch.dtype = torch.float32):
    """A MODEL of ``family`` with random weights, as the host's loader would make it."""
    return model_of(CROSS[family], dtype)


def model_of(facts: Facts, dtype: torch.dtype = torch.float32):
    """The same of other sizes, or of another of the host's classes."""
    return small_model(facts.config, facts.unet, dtype, facts.narrow)


def cross_clip(family: str):
    """A CLIP of ``family`` with random weights and the host's own vocabularies."""
    import comfy.sd

    facts = CROSS[family]
    tokenizer, encoder = facts.clip()
    target = SimpleNamespace(params={}, clip=encoder, tokenizer=tokenizer)
    options = {f"{facts.encoder}_model_config": facts.sizes, "dtype": torch.float32, **facts.beside}
    name = "mt5xl.spiece_model" if facts.beside else "spiece_model"
    pieces = {name: facts.pieces()} if facts.pieces else {}
    clip = comfy.sd.CLIP(target, model_options=options, tokenizer_data=pieces)
    randomize(clip.cond_stage_model, 2)
    return clip

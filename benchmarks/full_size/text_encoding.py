"""The text statistics of one corpus: captions to the uncentered covariance, by the host's own text encoders."""

from __future__ import annotations

from typing import Any

from . import host, models
from .scale import Scale
from .timing import seconds

ENCODERS = {"sd1": "CLIP-L", "sd2": "OpenCLIP-H", "sdxl": "CLIP-L + OpenCLIP-G"}


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    return {"Text statistics": [corpus_row(family, count) for family, count in scale.captions.items()]}


def corpus_row(family: str, count: int) -> dict[str, Any]:
    """Measure ``count`` captions once, loading apart, the inverse included."""
    clip = models.random_clip(family)
    clip.load_model()
    corpus = host.pack("perfusion_ops.text.captions").captions(count)
    covariance = host.pack("perfusion_ops.text.covariance")
    found: list[Any] = []
    took = seconds(lambda: found.append(host.pack("nodes.host.statistics")._measure(clip, corpus, "random weights")))
    inverted = seconds(lambda: covariance.inverse(found[0].matrix()))
    return {
        "text encoders": ENCODERS[family],
        "captions": count,
        "words a caption, mean": round(sum(len(caption.split()) for caption in corpus) / count, 1),
        "tokens taken in": int(found[0].counts.sum()),
        "s": round(took, 1),
        "captions a second": round(count / took, 2),
        "inverse, s": round(inverted, 2),
    }

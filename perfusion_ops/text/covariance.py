"""The uncentered covariance ``C = mean(e e^T)`` of a text encoder's encodings: the metric of every edit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.atomic import NotSavedError, write_atomically
from ..files.strict_json import FormatError, shown
from ..files.strict_safetensors import NAMES, Header, pack, read_bounded, read_header, read_tensors

DEFAULT_DAMPING = 1e-2
SINGULAR = 1e-12
"""A pivot below this share of the mean eigenvalue is rounding, not a measurement."""
FORMAT_VERSION = "1"
MAX_FILE_BYTES = 512 * 1024 * 1024


class TokenKind(IntEnum):
    """What a token of a prompt is. Sums are kept apart, because how they should be mixed is a choice."""

    START = 0
    WORD = 1
    END = 2
    PADDING = 3


DEFAULT_MIX = {TokenKind.WORD: 0.13, TokenKind.END: 0.01, TokenKind.PADDING: 0.86}
"""About each kind's share of 77 tokens. End and padding tokens must be in C: words alone leave them outside its span,
so that their similarity is far from 0 and the edit changes every one of them (benchmarks/RESULTS.md)."""


class StatisticsFileError(ValueError):
    """A statistics file cannot be read or written. The sentence names the file, what is wrong and what to do."""


class UncenteredCovariance:
    """Streaming second moments of encodings of width ``d``, in float64 on the CPU, a sum for each kind of token.

    ``encoder`` and ``corpus`` are fingerprints of what is measured, on what.
    """

    def __init__(self, width: int, encoder: str = "", corpus: str = "") -> None:
        self.encoder, self.corpus = encoder, corpus
        self.sums = torch.zeros(len(TokenKind), width, width, dtype=torch.float64)
        """``sum e e^T`` by kind (4, d, d)."""
        self.counts = torch.zeros(len(TokenKind), dtype=torch.int64)
        """Tokens by kind (4,)."""

    @property
    def width(self) -> int:
        return self.sums.shape[-1]

    def update(self, encodings: Tensor, kinds: Tensor) -> None:
        """Take in ``encodings`` (..., d) of any floating dtype and device; ``kinds`` (...) holds TokenKind values.

        Raises ValueError for another width or for encodings that are not finite; nothing is then taken in.
        """
        if encodings.shape[-1] != self.width or encodings.shape[:-1] != kinds.shape:
            raise ValueError(
                f"Encodings {tuple(encodings.shape)} and kinds {tuple(kinds.shape)} do not fit; expected "
                f"(..., {self.width}) and (...)."
            )
        if not torch.isfinite(encodings).all():
            raise ValueError("The text encoder gave encodings that are not finite; run it in float32.")
        # MPS has no float64.
        rows = encodings.detach().to("cpu" if encodings.device.type == "mps" else encodings.device)
        for kind in TokenKind:
            chosen = rows[(kinds == kind).to(rows.device)].double()
            if len(chosen):
                self.sums[kind] += (chosen.mT @ chosen).cpu()
                self.counts[kind] += len(chosen)

    def merged(self, other: UncenteredCovariance) -> UncenteredCovariance:
        """The statistics of both corpora together. Raises ValueError when they measure different encoders."""
        if (self.width, self.encoder) != (other.width, other.encoder):
            raise ValueError(
                f"Statistics of encoder {self.encoder!r} (width {self.width}) and {other.encoder!r} (width "
                f"{other.width}) cannot be merged; measure one encoder on both corpora."
            )
        both = UncenteredCovariance(self.width, self.encoder, "+".join(sorted((self.corpus, other.corpus))))
        both.sums, both.counts = self.sums + other.sums, self.counts + other.counts
        return both

    def matrix(self, mix: Mapping[TokenKind, float] | None = None) -> Tensor:
        """C (d, d), float64: the mean over all tokens, or ``mix``'s weighted mean of the kinds' own means.

        Raises ValueError for a mix without weight, with a negative one, or of kinds that were never seen.
        """
        weights = {kind: float(self.counts[kind]) for kind in TokenKind} if mix is None else dict(mix)
        total = sum(weights.values())
        if total <= 0 or min(weights.values()) < 0:
            raise ValueError(f"The mix of token kinds weighs {weights}; expected positive weights of measured kinds.")
        used = {kind: weight for kind, weight in weights.items() if weight > 0}
        unseen = [TokenKind(kind).name.lower() for kind in used if self.counts[kind] == 0]
        if unseen:
            raise ValueError(f"The text statistics hold no tokens of kind {', '.join(unseen)}; measure more captions.")
        return sum(weight / total / int(self.counts[kind]) * self.sums[kind] for kind, weight in used.items())

    @property
    def fingerprint(self) -> str:
        """16 hex digits, different for other statistics."""
        digest = hashlib.sha256()
        _feed(digest, self.encoder, self.corpus, self.counts.numpy(), self.sums.numpy())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all. Raises StatisticsFileError."""
        path = Path(path)
        rows, columns = torch.triu_indices(self.width, self.width)
        tensors = {"sums": self.sums[:, rows, columns], "counts": self.counts}
        metadata = {
            "perfusion.statistics_format": FORMAT_VERSION,
            "perfusion.encoder": self.encoder,
            "perfusion.corpus": self.corpus,
            "perfusion.width": str(self.width),
        }
        try:
            write_atomically(path, pack(tensors, metadata))
        except NotSavedError as error:
            raise StatisticsFileError(str(error)) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> UncenteredCovariance:
        """Read what ``save`` wrote, to the bit. Raises StatisticsFileError for anything else."""
        path = Path(path)
        try:
            data = read_bounded(path, MAX_FILE_BYTES)
            header = read_header(data)
            width = _checked_width(header)
            tensors = read_tensors(data, header)
            if tensors["counts"].min() < 0:
                raise FormatError("holds negative counts; expected 0 or more. Delete it; it is measured again.")
        except FormatError as error:
            raise StatisticsFileError(f"{path.name!r} {error}") from error
        statistics = cls(
            width, header.metadata.get("perfusion.encoder", ""), header.metadata.get("perfusion.corpus", "")
        )
        rows, columns = torch.triu_indices(width, width)
        statistics.sums[:, rows, columns] = tensors["sums"]
        statistics.sums[:, columns, rows] = tensors["sums"]
        statistics.counts = tensors["counts"]
        return statistics


def inverse(matrix: Tensor, damping: float = DEFAULT_DAMPING) -> Tensor:
    """``M = (C + damping * mean eigenvalue * 1)^-1`` (d, d), float64, symmetric.

    The damping is relative, so that the scale of C goes on cancelling. Raises ValueError when C is singular.
    """
    matrix = matrix.double()
    mean_eigenvalue = matrix.diagonal().mean()
    damped = matrix + damping * mean_eigenvalue * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor, failed = torch.linalg.cholesky_ex((damped + damped.mT) / 2)
    if failed or not factor.diagonal().square().min() > SINGULAR * mean_eigenvalue:
        raise ValueError(
            f"The text statistics are singular (width {len(matrix)}, damping {damping:g}): they come from too few "
            f"different tokens. Measure more captions, or use a damping such as {DEFAULT_DAMPING:g}."
        )
    inverted = torch.cholesky_inverse(factor)
    return (inverted + inverted.mT) / 2


def _feed(digest: hashlib._Hash, *parts: Any) -> None:
    """Feed texts and buffers, each after its length, so that no two lists of parts read the same."""
    for part in parts:
        raw = memoryview(part.encode() if isinstance(part, str) else part)
        digest.update(raw.nbytes.to_bytes(8, "little"))
        digest.update(raw)


def _checked_width(header: Header) -> int:
    """The width ``d`` of a statistics file whose header is as it should be. Raises FormatError."""
    version, width = header.metadata.get("perfusion.statistics_format"), header.metadata.get("perfusion.width", "")
    if version != FORMAT_VERSION or not (width.isascii() and width.isdigit() and 0 < len(width) <= 5):
        raise FormatError(
            f"has statistics format {shown(version)} and width {shown(width)}; expected format {FORMAT_VERSION} and a "
            "number. Delete it; it is measured again."
        )
    size, kinds = int(width), len(TokenKind)
    expected = {"sums": ("F64", (kinds, size * (size + 1) // 2)), "counts": ("I64", (kinds,))}
    found = {name: (NAMES[entry.dtype], entry.shape) for name, entry in header.entries.items()}
    if found != expected:
        raise FormatError(f"holds {shown(found)}; expected {expected}. Delete it; it is measured again.")
    return size

"""How much of a batch is computed at once: what a user's card holds, found without being asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, TinyTextEncoder, tiny_task
from perfusion_ops import train
from perfusion_ops.training.memory import MemoryUse
from perfusion_ops.training.state import TrainingState


class SmallTextEncoder(TinyTextEncoder):
    """Runs out of memory with more than ``limit`` templates, on the way ``where``."""

    def __init__(self, where: str, limit: int = 1) -> None:
        super().__init__("cat")
        self.where, self.limit = where, limit

    def encode(self, templates, embeddings):
        def refuse(gradient=None):
            if len(templates) > self.limit:
                raise torch.OutOfMemoryError("out of memory")
            return gradient

        encoded = super().encode(templates, embeddings)
        if embeddings is not None and self.where == "forward":
            refuse()
        if encoded.encodings.requires_grad and self.where == "backward":
            encoded.encodings.register_hook(refuse)
        return encoded


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_runs_out_in_the_text_encoder_halves_its_templates_and_not_the_pictures(where) -> None:
    """Fewer pictures at a time would cost speed for the whole run, and gain nothing."""
    reports, settings = [], replace(SHORT, micro_batch=6)
    task = tiny_task(sizes=((6, 6),))
    small = replace(task, encoder=SmallTextEncoder(where))
    found = train(small, settings, callback=reports.append).concept
    assert {report.micro_batch for report in reports} == {6}
    whole = train(task, settings).concept
    for name, residual in whole.value_residuals.items():
        torch.testing.assert_close(found.value_residuals[name], residual, rtol=1e-4, atol=1e-4)
    for name, word in whole.word_embeddings.items():
        torch.testing.assert_close(found.word_embeddings[name], word, rtol=1e-4, atol=1e-4)


def test_what_memory_was_found_to_hold_is_kept_for_the_run(tmp_path) -> None:
    """A run that goes on does not run out of memory first, again."""
    task, settings, path = tiny_task(sizes=((6, 6),)), replace(SHORT, micro_batch=6), tmp_path / "checkpoint"
    first, second = (TrainingState.start(task, settings) for _ in range(2))
    assert (first.memory.pictures, first.memory.templates) == (6, 6)
    first.memory.encoding = True
    assert first.memory.halve() and first.memory.halve() and first.memory.halve()
    assert (first.memory.pictures, first.memory.templates) == (2, 3)
    first.save(path, "a run")
    second.restore(path, "a run")
    assert (second.memory.pictures, second.memory.templates) == (2, 3)


def test_a_batch_is_computed_whole_if_nothing_is_asked_for_and_on_a_cpu_four_at_a_time() -> None:
    """Four micro-batches took five times the time of one on a GPU; a CPU's memory must not be filled by a default."""
    def at_once(batch: int, device: str, asked: int = 0) -> int:
        return MemoryUse.at_first(replace(SHORT, batch_size=batch, micro_batch=asked), device).pictures

    assert at_once(16, "cuda") == 16 and at_once(16, "cpu") == 4
    assert at_once(2, "cuda") == 2 and at_once(2, "cpu") == 2
    assert at_once(16, "cuda", 5) == at_once(16, "cpu", 5) == 5
    assert at_once(4, "cpu", 8) == 4
    with pytest.raises(ValueError, match="micro_batch is -1; expected 0"):
        replace(SHORT, micro_batch=-1)

"""One training: from the node's checked inputs to a finished concept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...perfusion_ops import GateKind, TrainingDiverged, TrainingResult, TrainingSettings, TrainingTask, train
from ...perfusion_ops.concept.file import ConceptFileError
from ...perfusion_ops.files.atomic import NotSavedError
from ...perfusion_ops.text.captions import captions as shipped_captions
from ...perfusion_ops.text.covariance import UncenteredCovariance, inverse
from ..families.family import family_of
from ..host import last_layer, messages
from ..host.belonging import check_text
from ..host.clip import text_encoders
from ..host.clip_identity import metadata_of
from ..host.device_memory import is_out_of_memory
from ..host.encoders import private_encoders
from ..host.fingerprints import fingerprint, first_stage_identity
from ..host.messages import tell_saved
from ..host.private_copies import acting_weights, loaded
from ..host.statistics import CAPTION_SEED, DEFAULT_CAPTIONS, measured, text_identity
from ..host.superclass_prompts import SuperclassPrompts
from ..host.thumbnails import save_thumbnail
from .checks import checked, left_out, without_effect
from .files import Finished, RunFiles, run_key
from .pictures import Shot, warning_of_same
from .preview import Preview
from .progress import Progress
from .snapshots import Snapshots
from .task import PrivateModel, latent_pictures, training_task


@dataclass(frozen=True)
class Training:
    """The node's inputs, checked."""

    model: Any
    clip: Any
    vae: Any
    word: str
    superclass: str
    shots: list[Shot]
    templates: tuple[str, ...]
    captions: tuple[str, ...]
    settings: TrainingSettings
    statistics: UncenteredCovariance | None
    dtype: str
    gradient_checkpointing: bool
    preview_every: int
    preview_prompt: str
    snapshot_every: int = 0

    @classmethod
    def of(cls, inputs: dict[str, list]) -> Training:
        """Raises ValueError, with one sentence, before anything is loaded."""
        return cls(**checked(inputs))

    def run(self) -> Finished:
        """Train, or take the concept of an earlier run with the same inputs."""
        idle = without_effect(self.settings, self.statistics), left_out(self.model, self.clip)
        warning = messages.warn_of(*idle, warning_of_same(self.shots))
        statistics = self._statistics()
        base = fingerprint(acting_weights(loaded(self.model), "diffusion_model"))
        files = RunFiles.of(self.word, self._key(base, statistics))
        progress = Progress(self.settings.steps, self.preview_every, self._preview().draw, warning=warning)
        snapshots = files.snapshots(self.snapshot_every, self.settings.steps)
        finished = files.finished(snapshots)
        if finished is not None:
            progress.bar.update_absolute(self.settings.steps)
            progress.finished(finished.losses)
            progress.conclude(f"Reused {files.concept.name}: the same inputs trained it before.")
            return finished
        progress.announce(files.make_ready(snapshots))
        with torch.inference_mode(False), torch.enable_grad():
            return self._train(base, statistics, files, snapshots, progress)

    @property
    def by_position(self) -> bool:
        """Whether values are learned alone, at the superclass's own words."""
        return self.settings.gate_kind is GateKind.POSITION

    @property
    def measures(self) -> bool:
        """Whether text statistics are measured here, which first asks what else is asked when a training begins."""
        return not self.by_position and self.statistics is None

    def _statistics(self) -> UncenteredCovariance | None:
        """Those connected, or else measured; none where no word is learned."""
        if not self.measures:
            return None if self.by_position else self.statistics
        check_text(self.model, self.clip, self.superclass)
        return _measured_statistics(self.clip, self.model)

    def _task(self, base: str, statistics: UncenteredCovariance | None) -> TrainingTask:
        """What is trained. With a position gate, the text encoder has done its work before the model is loaded."""
        if not self.measures:
            check_text(self.model, self.clip, self.superclass)
        if self.by_position:
            encoders = text_encoders(self.clip)
            with torch.inference_mode():
                templates, second = (*self.templates, *self.captions), family_of(self.model).second
                encoder = SuperclassPrompts.of(self.clip, self.word, self.superclass, templates, second)
            beside, learned = [], {}
        else:
            encoders, device = private_encoders(self.clip, self.gradient_checkpointing)
            beside, learned = [self.clip.patcher], {"statistics": statistics.fingerprint}
        with torch.inference_mode():
            pictures = latent_pictures(self.model, self.vae, self.shots, self.settings.flip, self.captions)
        private = PrivateModel.of(self.model, self.dtype, self.gradient_checkpointing, beside=beside)
        if self.by_position:
            encoder = private.superclass_prompts(self.model, encoder)
        else:
            encoder = private.text_encoder(self.model, self.clip, encoders, self.superclass, device)
        mix = family_of(self.model).covariance_mix
        layer = last_layer.LastLayer.of_clip(self.clip, encoders.values())
        return training_task(
            self.model,
            private,
            encoder,
            self.word,
            [_outside_inference(picture) for picture in pictures],
            self.templates,
            None if statistics is None else inverse(statistics.matrix(mix)),
            {**metadata_of(self.clip), "base_model": base, **layer.metadata, **learned},
        )

    def _train(
        self,
        base: str,
        statistics: UncenteredCovariance | None,
        files: RunFiles,
        snapshots: Snapshots,
        progress: Progress,
    ) -> Finished:
        task = self._task(base, statistics)
        try:
            result = train(
                task,
                self.settings,
                checkpoint=files.checkpoint,
                callback=progress,
                snapshot_every=self.snapshot_every,
                keep_snapshot=lambda concept, step: save_thumbnail(
                    self._picture(progress), snapshots.keep(concept, step)
                ),
                is_out_of_memory=is_out_of_memory,
            )
        except TrainingDiverged as error:
            files.save_partial(error.concept, error.step, self._picture(progress))
            raise
        except BaseException:
            if progress.last is not None:
                kept = files.save_partial(progress.last.concept(), progress.last.step, self._picture(progress))
                progress.conclude(f"Stopped at step {progress.last.step}; kept as {kept.name}. Queue again to go on.")
            raise
        finished = self._kept(result, files, snapshots, progress)
        # Last, as a cancel would end it.
        progress.finished(result.losses)
        return finished

    def _kept(self, result: TrainingResult, files: RunFiles, snapshots: Snapshots, progress: Progress) -> Finished:
        """What was trained, on disk. A disk that refuses it costs the file and not the training: the node says so."""
        kept = (result.concept, list(result.losses), progress.sheet())
        try:
            finished = files.save(*kept, snapshots, picture=self._picture(progress))
        except (NotSavedError, ConceptFileError) as error:
            told = f"Trained, but not kept: {error} Then save the concept by Save Perfusion Concept."
            logging.warning("Perfusion training: %s", told)
            progress.conclude(told)
            return Finished(*kept, snapshots.load())
        tell_saved(self.word, files.concept)
        return finished

    def _picture(self, progress: Progress) -> Tensor:
        """What the concept is known by: the newest preview, else the first training picture."""
        return progress.previews[-1] if progress.previews else self.shots[0].pixels

    def _key(self, base: str, statistics: UncenteredCovariance | None) -> str:
        parts = [part for shot in self.shots for part in (shot.pixels, shot.mask)]
        texts = (self.word, self.superclass, self.templates, self.captions, self.dtype)
        settings = sorted(self.settings.as_dict().items(), key=str)
        measured = "" if statistics is None else statistics.fingerprint
        model = (base, self.clip.layer_idx, measured, first_stage_identity(self.vae))
        # What was measured here says of itself which text encoder it is of.
        text = () if self.measures else (text_identity(self.clip),)
        # Only files of such trainings tell their layer.
        told = () if self.clip.layer_idx is None else (last_layer.ENTRY,)
        return run_key(*parts, *texts, settings, *model, *text, *told)

    def _preview(self) -> Preview:
        ratio = self.model.model.latent_format.spacial_downscale_ratio
        height, width = (side // ratio for side in self.shots[0].pixels.shape[:2])
        locking = self.settings.key_locking
        parts = (self.model, self.clip, self.vae, self.preview_prompt)
        return Preview(*parts, size=(height, width), key_locking=locking, seed=self.settings.seed)


def _measured_statistics(clip, model) -> UncenteredCovariance:
    return measured(clip, shipped_captions(DEFAULT_CAPTIONS, CAPTION_SEED), model)


def _outside_inference(picture):
    """The same picture in tensors that may meet a backward pass."""
    tensors = {name: getattr(picture, name) for name in ("latent", "mask", "mirrored")}
    tensors = {name: None if tensor is None else tensor.clone() for name, tensor in tensors.items()}
    return type(picture)(**tensors, templates=picture.templates)

"""The pack's nodes, for the host's V3 interface."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .apply import PerfusionApplyKeyLockedAttention
from .create_hook import PerfusionCreateHook
from .evaluate import PerfusionEvaluate
from .export_embedding import PerfusionExportEmbedding
from .host.folders import make_ready, register_folders
from .import_checkpoint import PerfusionImportCheckpoint
from .inspect import PerfusionInspectGates
from .load import PerfusionLoadConcept
from .load_snapshots import PerfusionLoadSnapshots
from .picture_folder import PerfusionPictureFolder
from .save import PerfusionSaveConcept
from .schedule import PerfusionSchedule
from .subject_mask import PerfusionSubjectMask
from .sweep import PerfusionSweep
from .text_statistics import PerfusionTextStatistics
from .train import PerfusionTrainConcept

register_folders()


class PerfusionExtension(ComfyExtension):
    async def on_load(self) -> None:
        make_ready()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            PerfusionTrainConcept,
            PerfusionLoadConcept,
            PerfusionSaveConcept,
            PerfusionApplyKeyLockedAttention,
            PerfusionTextStatistics,
            PerfusionLoadSnapshots,
            PerfusionInspectGates,
            PerfusionPictureFolder,
            PerfusionImportCheckpoint,
            PerfusionExportEmbedding,
            PerfusionSweep,
            PerfusionSubjectMask,
            PerfusionCreateHook,
            PerfusionEvaluate,
            PerfusionSchedule,
        ]

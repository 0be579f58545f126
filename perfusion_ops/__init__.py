"""Perfusion (Tewel et al. 2023, arXiv 2305.01644): key-locked rank-one edits, as tensors in, tensors out."""

from .concept import Concept, KeyLocking
from .context import EditedContext
from .edit import Gate
from .injection import inject
from .joint import EditTerm, JointEdit, check_combinable, nearly_parallel
from .noise import NoiseSchedule
from .training import StepReport, TrainingDiverged, TrainingResult, train
from .training_task import Encoded, Picture, TextEncoder, TrainingSettings, TrainingTask

__all__ = [
    "Concept",
    "EditTerm",
    "EditedContext",
    "Encoded",
    "Gate",
    "JointEdit",
    "KeyLocking",
    "NoiseSchedule",
    "Picture",
    "StepReport",
    "TextEncoder",
    "TrainingDiverged",
    "TrainingResult",
    "TrainingSettings",
    "TrainingTask",
    "check_combinable",
    "inject",
    "nearly_parallel",
    "train",
]

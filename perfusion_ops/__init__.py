"""Perfusion (Tewel et al. 2023, arXiv 2305.01644): key-locked rank-one edits, as tensors in, tensors out."""

from .concept.concept import Concept, GateKind, KeyLocking
from .edit.context import EditedContext
from .edit.equations import Gate
from .edit.injection import inject
from .edit.joint import JointEdit
from .edit.terms import EditTerm, check_combinable, nearly_parallel
from .training.layers import EditedLayers
from .training.loop import StepReport, TrainingDiverged, TrainingResult, train
from .training.noise import FlowSchedule, NoiseSchedule
from .training.settings import TrainingSettings
from .training.task import Encoded, Picture, TextEncoder, TrainingTask

__all__ = [
    "Concept",
    "EditTerm",
    "EditedContext",
    "EditedLayers",
    "Encoded",
    "FlowSchedule",
    "Gate",
    "GateKind",
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

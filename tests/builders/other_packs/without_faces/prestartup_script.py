"""Stands for the packages insightface and facexlib: every picture has one face, with a random embedding."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import torch


class Face(dict):
    __getattr__ = dict.__getitem__


class FaceAnalysis:
    def __init__(self, **_settings):
        self.det_model = SimpleNamespace(input_size=(640, 640))

    def prepare(self, **_settings):
        pass

    def get(self, image):
        points = np.linspace(0.2, 0.8, 10).reshape(5, 2) * image.shape[0]
        embedding = np.random.default_rng(3).standard_normal(512).astype(np.float32)
        return [Face(bbox=np.array([0, 0, *image.shape[:2]]), embedding=embedding, kps=points)]


class FaceRestoreHelper:
    def __init__(self, **_settings):
        self.cropped_faces = [np.full((512, 512, 3), 127, np.uint8)]

    def __getattr__(self, _name):
        return lambda *_args, **_settings: None


def init_parsing_model(**_settings):
    return lambda image: (torch.zeros(1, 19, *image.shape[-2:]),)


for name, members in {
    "insightface": {},
    "insightface.app": {"FaceAnalysis": FaceAnalysis},
    "facexlib": {},
    "facexlib.parsing": {"init_parsing_model": init_parsing_model},
    "facexlib.utils": {},
    "facexlib.utils.face_restoration_helper": {"FaceRestoreHelper": FaceRestoreHelper},
}.items():
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(members)

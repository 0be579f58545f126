"""One small model of each family beside Stable Diffusion, for all tests in this folder."""

from __future__ import annotations

import dataclasses

import pytest

from builders.cross_models import CROSS
from builders.cross_world import CrossWorld
from builders.joint_models import JOINT
from builders.joint_world import JointWorld
from builders.kin_models import KIN
from builders.older_hosts import skip_without


@pytest.fixture(scope="session", params=list(CROSS))
def cross_world(request, pack):
    return CrossWorld(pack, request.param)


@pytest.fixture(scope="session", params=[*JOINT, *KIN])
def joint_world(request, pack):
    if request.param == "chroma_radiance":
        skip_without("such settings of Chroma Radiance")
    return JointWorld(pack, request.param)


@pytest.fixture(scope="module")
def hunyuan(pack):
    return CrossWorld(pack, "hunyuan_dit")


@pytest.fixture(scope="module")
def older_hunyuan(pack):
    """Of the models 1.0 and 1.1, which read a picture's size and a style beside the prompt."""
    sizes = {"image_model": "hydit1", "size_cond": True, "use_style_cond": True}
    small = CROSS["hunyuan_dit"]
    CROSS["hunyuan_dit1"] = dataclasses.replace(small, config="HunyuanDiT1", unet=small.unet | sizes)
    yield CrossWorld(pack, "hunyuan_dit1")
    del CROSS["hunyuan_dit1"]

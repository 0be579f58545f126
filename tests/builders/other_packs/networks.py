"""Packs that bring networks of their own into a U-Net, or change its attention's function."""

from __future__ import annotations

from builders.other_packs.rows import Row, Scene, core_encode, patched_by
from builders.other_packs.unet import ANIMATE, PLAIN, RES, clownshark, frames, half, patch
from builders.workflows import Output

LAYERED, KJ = "ComfyUI-layerdiffuse", "ComfyUI-KJNodes"
PULID, INSTANT = "PuLID_ComfyUI", "ComfyUI_InstantID"
SHARED = "SD15, Attention Injection, attn_sharing"


def layered_prompts(scene: Scene) -> Output:
    """Foreground, background and both at once, each with a prompt of its own."""
    named = core_encode(scene)
    prompts = {"fg_cond": named, "bg_cond": scene.encode(PLAIN), "blended_cond": named}
    scene.model = scene.add("LayeredDiffusionJointApply", model=scene.model, **prompts)[0]
    return named


def in_motion(scene: Scene, positive: Output) -> Output:
    loaded = scene.add("ADE_LoadAnimateDiffModel", model_name="motion.safetensors")[0]
    motion = scene.add("ADE_ApplyAnimateDiffModelSimple", motion_model=loaded)[0]
    wires = {"model": scene.model, "m_models": motion, "beta_schedule": "autoselect"}
    scene.model = scene.add("ADE_UseEvolvedSampling", **wires)[0]
    return frames(scene, positive, 3)


def face(scene: Scene) -> Output:
    return scene.add("EmptyImage", width=64, height=64, color=8421504)[0]


def instant_face(scene: Scene) -> Output:
    wires = {"instantid": scene.add("InstantIDModelLoader", instantid_file="instantid.safetensors")[0]}
    wires |= {"insightface": scene.add("InstantIDFaceAnalysis", provider="CPU")[0], "image": face(scene)}
    return patched_by("InstantIDAttentionPatch", **wires, weight=1.0, start_at=0.0, end_at=1.0, noise=0.0)(scene)


def lit_face(scene: Scene) -> Output:
    wires = {"pulid": scene.add("PulidModelLoader", pulid_file="pulid.safetensors")[0], "image": face(scene)}
    wires |= {"face_analysis": scene.add("PulidInsightFaceLoader", provider="CPU")[0]}
    wires |= {"eva_clip": scene.add("RandomEvaClip")[0]}
    return patched_by("ApplyPulid", **wires, method="fidelity", weight=1.0, start_at=0.0, end_at=1.0)(scene)


def regional(named_first: bool):
    """Two prompts side by side, by RES4LYF's patched network."""

    def encode(scene: Scene) -> Output:
        patch("ReSDPatcher")(scene)
        prompts = [core_encode(scene), scene.encode(PLAIN)]
        prompts = prompts if named_first else prompts[::-1]
        wires = {"conditioning_A": prompts[0], "conditioning_B": prompts[1]}
        wires |= {"mask_A": half(scene, True), "mask_B": half(scene, False)}
        return scene.add("ClownRegionalConditioning_AB", **wires, end_step=-1)[0]

    return encode


REGIONAL = "ReSDPatcher and ClownRegionalConditioning_AB"
NETWORK_ROWS = (
    Row(LAYERED, "LayeredDiffusionApply, shared attention",
        patched_by("LayeredDiffusionApply", config=SHARED, weight=1.0), families=("sd1",)),
    Row(LAYERED, "LayeredDiffusionApply, weights", patched_by("LayeredDiffusionApply", weight=1.0,
        config="SDXL, Attention Injection"), families=("sdxl",)),
    Row(LAYERED, "LayeredDiffusionJointApply", layered_prompts, lambda scene, prompt: frames(scene, prompt, 3),
        families=("sd1",)),
    Row(ANIMATE, "a motion module", draw=in_motion, families=("sd1",)),
    Row(INSTANT, "InstantIDAttentionPatch", instant_face, families=("sdxl",)),
    Row(PULID, "ApplyPulid", lit_face, families=("sdxl",)),
    Row(KJ, "PathchSageAttentionKJ", patched_by("PathchSageAttentionKJ", sage_attention="auto")),
    Row(KJ, "PathchSageAttentionKJ before Apply", before=patch("PathchSageAttentionKJ", sage_attention="auto")),
    *(Row(RES, f"{REGIONAL}, the concept in the {'first' if first else 'second'} prompt", regional(first), clownshark)
      for first in (True, False)),
)  # fmt: skip

"""The host's MODEL: how concepts take effect in it, one model call at a time.

The concepts travel in ``transformer_options`` as one immutable object. At the start of a sampling run each prompt is
edited once; the edited contexts travel with the host's own conditioning, so that it repeats, joins and moves them.
During a model call, and only then, hooks on the projections add the value deltas. No module, weight or single-slot
patch of the host is taken, so clones that share modules, other patches and interruptions cannot meet an edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import comfy.conds
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...perfusion_ops import EditTerm, JointEdit, check_combinable
from ..families.family import check_fits, family_of
from .encoded_prompt import EncodedPrompt, plain
from .model_call import CallEdit, editing

KEY = "perfusion"
CONTEXTS = {part: f"perfusion_{part}" for part in ("keys", "values", "gates")}
START_TOLERANCE = 1e-6
"""One minus the cosine below which an encoding is the start-of-text token's."""


@dataclass(frozen=True)
class AppliedConcept:
    """One concept in a model: the term of the edit, where in the picture, and when during sampling."""

    term: EditTerm
    region: Tensor | None = None
    """Soft mask (H, W), 0 to 1; none means everywhere."""
    start_percent: float = 0.0
    end_percent: float = 1.0


@dataclass(frozen=True)
class AppliedConcepts:
    """All concepts of one model, in the order of ``edit.terms``. Raises ValueError if one model cannot hold them."""

    concepts: tuple[AppliedConcept, ...]

    @classmethod
    def of(cls, concepts) -> AppliedConcepts:
        concepts = tuple(sorted(concepts, key=lambda applied: applied.term.concept.word))
        check_combinable([applied.term for applied in concepts])
        return cls(concepts)

    @property
    def terms(self) -> tuple[EditTerm, ...]:
        return tuple(applied.term for applied in self.concepts)

    @cached_property
    def edit(self) -> JointEdit:
        """Combined when it is drawn: in a chain of Apply only the last one's is."""
        return JointEdit.of(self.terms)

    def __deepcopy__(self, _memo) -> AppliedConcepts:
        """Itself, as nothing in it changes. ComfyUI 0.13.0 copies a model's options deeply for every clone."""
        return self


def model_with_concept(model, applied: AppliedConcept):
    """A clone of ``model`` with one more concept. Raises ValueError if the concept does not fit it."""
    check_fits(model, applied.term.concept)
    before = model.model_options["transformer_options"].get(KEY)
    clone = model.clone()
    clone.model_options["transformer_options"][KEY] = AppliedConcepts.of(
        (*(before.concepts if before else ()), applied)
    )
    clone.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, edit_prompts)
    return clone


def applied_terms(model) -> tuple[EditTerm, ...]:
    """The concepts that take effect in ``model``."""
    applied = model.model_options["transformer_options"].get(KEY)
    return applied.terms if applied else ()


def edit_prompts(executor, noise, *args, **kwargs):
    """Around a sampling run: edit every prompt once, and let model calls use the result."""
    guider = executor.class_obj
    options = guider.model_options["transformer_options"]
    applied: AppliedConcepts = options[KEY]
    words = set(applied.edit.words)
    held = any(words & cond["cross_attn"].words for cond in _prompts(guider.conds))
    place = {"device": guider.model_patcher.load_device, "dtype": inference_dtype(guider.model_patcher.model)}
    for name, conds in guider.conds.items():
        guider.conds[name] = [_with_contexts(cond, applied, place) if held else _plain(cond) for cond in conds]
    if held:
        wrappers = options.setdefault("wrappers", {}).setdefault(WrappersMP.APPLY_MODEL, {})
        wrappers[KEY] = [_model_call(applied, guider.model_patcher)]
    return executor(noise, *args, **kwargs)


def inference_dtype(model) -> torch.dtype:
    """The dtype that the host's model computes in, whatever the dtype of its weights."""
    return model.manual_cast_dtype or model.get_dtype()


def _prompts(conds: dict[str, list[dict]]) -> list[dict]:
    return [cond for group in conds.values() for cond in group if isinstance(cond.get("cross_attn"), EncodedPrompt)]


def _plain(cond: dict) -> dict:
    return {**cond, "cross_attn": plain(cond["cross_attn"])} if "cross_attn" in cond else cond


def _with_contexts(cond: dict, applied: AppliedConcepts, place: dict) -> dict:
    """The prompt with its edited contexts; one without concepts has its own there, as only alike prompts batch."""
    prompt = cond.get("cross_attn")
    edit = applied.edit
    if not isinstance(prompt, Tensor) or prompt.shape[-1] != edit.target_inputs.shape[-1]:
        return cond
    encodings = plain(prompt)
    words = prompt.words if isinstance(prompt, EncodedPrompt) else frozenset()
    present = torch.tensor([[word in words for word in edit.words]]).expand(encodings.shape[0], -1)
    if not present.any():
        gates = encodings.new_zeros(*encodings.shape[:2], len(edit.terms))
        contexts = {"keys": encodings, "values": encodings, "gates": gates}
    else:
        context = _edited_context(applied, prompt, encodings, present)
        contexts = {"keys": context.keys, "values": context.values, "gates": context.gates}
    entries = {CONTEXTS[part]: comfy.conds.CONDCrossAttn(tensor.to(**place)) for part, tensor in contexts.items()}
    return {**cond, "cross_attn": encodings, "model_conds": {**cond.get("model_conds", {}), **entries}}


def _edited_context(applied: AppliedConcepts, prompt: EncodedPrompt, encodings: Tensor, present: Tensor):
    edit = applied.edit
    if edit.uses_superclass_prompt and prompt.superclass is None:
        if any(t.key_locking.uses_superclass_prompt and t.concept.word in prompt.words for t in edit.terms):
            raise ValueError(
                "Global key locking needs the superclass prompt, which this prompt was encoded without. Encode it with "
                "the CLIP output of the same Apply Key-Locked Attention node as the model."
            )
        prompt = EncodedPrompt.of(encodings, prompt.words, prompt.start, encodings)
    edit = edit.to(encodings.device, torch.float32)
    start = torch.cosine_similarity(encodings.float(), prompt.start.float(), dim=-1) > 1 - START_TOLERANCE
    return edit.contexts(encodings, prompt.superclass, present, start)


def _model_call(applied: AppliedConcepts, patcher):
    """The wrapper that puts a batch's edited contexts into one model call."""
    family, sampling = family_of(patcher), patcher.get_model_object("model_sampling")
    begins = [sampling.percent_to_sigma(c.start_percent) for c in applied.concepts]
    ends = [sampling.percent_to_sigma(c.end_percent) for c in applied.concepts]
    regions = [c.region for c in applied.concepts]
    edits: dict[torch.device, JointEdit] = {}
    layers: dict[torch.device, dict[str, nn.Module]] = {}

    def call_with_concepts(executor, x, t, c_concat, c_crossattn, control, transformer_options, **kwargs):
        parts = {part: kwargs.pop(entry, None) for part, entry in CONTEXTS.items()}
        call = (x, t, c_concat, c_crossattn, control)
        if parts["keys"] is None:
            return executor(*call, transformer_options, **kwargs)
        model, place = executor.class_obj, {"device": x.device, "dtype": inference_dtype(executor.class_obj)}
        if x.device not in edits:
            edits[x.device] = applied.edit.to(**place)
            layers[x.device] = family.cross_attentions(model.diffusion_model)
        parts = {part: tensor.to(**place) for part, tensor in parts.items()}
        sigma = transformer_options["sigmas"].max().to(x.device)
        active = torch.stack([(sigma <= begin) & (sigma > end) for begin, end in zip(begins, ends, strict=True)])
        edit = CallEdit(
            keys=parts["keys"],
            values=parts["values"],
            gates=parts["gates"] * active.to(parts["gates"]),
            edit=edits[x.device],
            regions=regions,
            latent_shape=x.shape,
        )
        with editing(layers[x.device], edit):
            return executor(*call, edit.options(transformer_options), **kwargs)

    return call_with_concepts

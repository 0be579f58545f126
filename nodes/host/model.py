"""The host's MODEL: how concepts take effect in it, one model call at a time.

The concepts travel in ``transformer_options`` as one immutable object. At the start of a sampling run each prompt is
edited once; the edited contexts travel with the host's own conditioning, so that it repeats, joins and moves them.
During a model call, and only then, hooks on the projections add the value deltas. No module, weight or single-slot
patch of the host is taken, so clones that share modules, other patches and interruptions cannot meet an edit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import add
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from ...perfusion_ops import EditTerm, JointEdit, check_combinable
from ...perfusion_ops.edit.regions import mask_at
from ...perfusion_ops.edit.schedule import Schedule
from ..families.family import Family, check_fits, family_of
from .conditioning import CONTEXTS, Reading, at_level, namings, with_contexts, without_marks
from .joint_call import JointCall, picture_cells
from .levels import Levels, Timetable, starts_of, strength_at
from .model_call import CallEdit, editing
from .naming import Naming, never_open, not_applied, not_named
from .network_reader import NetworkReader, inference_dtype
from .strength_hook import STRENGTHS, may_rest, possible_shifts, shift_that_holds
from .windows import WINDOW, region_in, with_windows

KEY = "perfusion"
Conditionings = dict[str, list[dict]]
Parts = Mapping[str, Tensor]
"""Name of a part of an edited context -> it, for the rows of a call."""
Regions = Mapping[int, Tensor]
"""Number of a concept with a region -> the part of its mask that a call sees."""


@dataclass(frozen=True)
class AppliedConcept:
    """One concept in a model: the term of the edit, where in the picture, and when during sampling."""

    term: EditTerm
    region: Tensor | None = None
    """Soft mask (H, W), 0 to 1; none means everywhere."""
    start_percent: float = 0.0
    end_percent: float = 1.0
    naming: Naming = field(default_factory=Naming)
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        self.naming.word = self.naming.word or self.term.concept.word

    def without_effect(self) -> str | None:
        """A sentence when the concept's own settings leave it no place or time."""
        if self.region is not None and not self.region.any():
            return "The region is all black, so the concept has no effect. Paint where it may appear white."
        if self.start_percent >= self.end_percent:
            return (
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}, so the concept never "
                "takes effect. Set end_percent above start_percent."
            )
        if not any(strength_at(self, share) for share in starts_of([self])):
            return (
                "The schedule's strength is 0 from start_percent to end_percent, so the concept never takes effect. "
                "Raise it, or set start_percent and end_percent further apart."
            )
        return None


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

    @cached_property
    def levels(self) -> Levels:
        return Levels.of(self.concepts)

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
    """Around a sampling run: edit every prompt once, let model calls use the result, and say what has no effect."""
    guider = executor.class_obj
    options = guider.model_options["transformer_options"]
    applied: AppliedConcepts = options[KEY]
    place = {"device": guider.model_patcher.load_device, "dtype": inference_dtype(guider.model_patcher.model)}
    family = family_of(guider.model_patcher)
    kind, named = call_kind(family), _named(guider.conds, applied, family)
    if not named:
        guider.conds = {name: [without_marks(cond) for cond in conds] for name, conds in guider.conds.items()}
        return executor(noise, *args, **kwargs)
    if any(concept.region is not None for concept in applied.concepts):
        guider.conds = with_windows(guider.conds, noise.shape)
    call, wrappers = kind(applied, guider.model_patcher, guider.conds), options.setdefault("wrappers", {})
    wrappers.setdefault(WrappersMP.APPLY_MODEL, {})[KEY] = [call]
    if network_reads(guider.model_patcher):
        edit = partial(edit_read_prompts, call, place)
        wrappers.setdefault(WrappersMP.PREPARE_SAMPLING, {})[KEY] = [edit]
    else:
        guider.conds = call.edited(guider.conds, place, reading_of(guider.model_patcher))
    result = executor(noise, *args, **kwargs)
    for concept, opened in zip(applied.concepts, call.timetable.opened(), strict=True):
        if concept.term.concept.word in named:
            scheduled = concept.schedule.constant is None
            concept.naming.works() if opened else concept.naming.fails(never_open(concept.naming, scheduled))
    return result


def network_reads(model) -> bool:
    """Whether a MODEL's K and V read what layers of the network make of a prompt's encodings."""
    return family_of(model).reading_layers(model.model.diffusion_model) is not None


def reading_of(patcher) -> Reading:
    """How a MODEL reads prompts. It must be loaded if its network makes something of them first."""
    family = family_of(patcher)
    facts = {"kept": family.kept, "entry": family.entry, "second": family.second}
    return Reading(NetworkReader.of(patcher), **facts) if network_reads(patcher) else Reading(**facts)


@torch.no_grad()
def edit_read_prompts(call: ModelCall, place: dict, executor, patcher, *args, **kwargs):
    """Around the loading for a sampling run: edit every prompt as the network, which is loaded then, reads it."""
    model, conds, others = executor(patcher, *args, **kwargs)
    return model, call.edited(conds, place, reading_of(patcher)), others


def _named(conds: Conditionings, applied: AppliedConcepts, family: Family) -> set[str]:
    """The applied concepts that prompts of a sampler name; says which it does not, and which are not applied."""
    held = namings(conds, family.entry, family.second)
    words = {naming.word for naming in held}
    for naming in held:
        if naming.word not in applied.edit.words:
            naming.fails(not_applied(naming))
    for concept in applied.concepts:
        if concept.term.concept.word not in words:
            concept.naming.fails(not_named(concept.naming))
    return words & set(applied.edit.words)


class ModelCall:
    """The wrapper that puts a batch's edited contexts into one model call of a model with text cross-attention."""

    parts: tuple[str, ...] = ("keys", "values", "gates")
    """What it needs of an edited context."""

    def __init__(self, applied: AppliedConcepts, patcher, conds: Conditionings) -> None:
        self.applied, self.family = applied, family_of(patcher)
        hooked = any(may_rest(cond.get("hooks"), applied.edit.words) for group in conds.values() for cond in group)
        self.rests = "keys" in self.parts and (hooked or any(0 in level for level in applied.levels.strengths))
        self.timetable = Timetable(applied.levels, patcher.get_model_object("model_sampling"))
        self.edits: dict[torch.device, JointEdit] = {}
        self.layers: dict[torch.device, dict[str, nn.Module]] = {}
        """The modules to hook."""

    def edited(self, conds: Conditionings, place: dict, reading: Reading) -> Conditionings:
        """The prompts with a context for every bias that may hold."""
        edit, levels = self.applied.edit, self.applied.levels.shifts

        def shifts(cond: dict) -> list[tuple[float, ...]]:
            hooked = possible_shifts(cond.get("hooks"), edit.words)
            return [tuple(map(add, each, level)) for each in hooked for level in levels]

        return {
            name: [with_contexts(cond, edit, place, self.parts, reading, shifts(cond), self.rests) for cond in group]
            for name, group in conds.items()
        }

    def __call__(self, executor, x, t, c_concat, c_crossattn, control, transformer_options, **kwargs):
        parts = {part: kwargs.pop(CONTEXTS[part], None) for part in self.parts}
        seen = kwargs.pop(WINDOW, None)
        call = (x, t, c_concat, c_crossattn, control)
        if parts["gates"] is None:
            return executor(*call, transformer_options, **kwargs)
        place = {"device": x.device, "dtype": inference_dtype(executor.class_obj)}
        if x.device not in self.edits:
            self.edits[x.device] = self.applied.edit.to(**place)
            self.layers[x.device] = self._layers(executor.class_obj.diffusion_model)
        parts = {part: tensor.to(**place) for part, tensor in parts.items()}
        parts = self._now(parts, transformer_options["sigmas"].max().to(x.device), transformer_options)
        regions = {j: region_in(c.region, seen) for j, c in enumerate(self.applied.concepts) if c.region is not None}
        with self._editing(executor.class_obj.diffusion_model, parts, x, regions, kwargs) as options:
            return executor(*call, options(transformer_options), **kwargs)

    def _now(self, parts: dict[str, Tensor], sigma: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The contexts that hold at ``sigma``: the resting one for prompts whose concepts all have strength 0."""
        words, levels = self.applied.edit.words, len(self.applied.levels.shifts)
        scheduled, level = self.timetable.at(sigma)
        hooked, count = shift_that_holds(options, words)
        last = count * levels
        found = {part: at_level(each, last + self.rests, hooked * levels + level) for part, each in parts.items()}
        factors = [scheduled.to(found["gates"])]
        if options.get(STRENGTHS):
            factors.append(factors[0].new_tensor([options[STRENGTHS].get(word, 1.0) for word in words]))
        for factor in factors:
            found["gates"] = found["gates"] * factor
        if not self.rests:
            return found
        resting = {part: at_level(each, last + 1, level.new_full((1,), last)) for part, each in parts.items()}
        acts = (resting.pop("gates")[:, :1] * math.prod(factors) != 0).any(-1, keepdim=True)
        return found | {part: torch.where(acts, found[part], each) for part, each in resting.items()}

    def _layers(self, net: nn.Module) -> dict[str, nn.Module]:
        return self.family.cross_attentions(net)

    @contextmanager
    def _editing(self, net: nn.Module, parts: Parts, x: Tensor, regions: Regions, _entries: Mapping[str, Any]):
        """The edit for one call; yields what makes its options."""
        facts = {"latent_shape": x.shape, "as_patch": self.family.as_patch, "patch": self.family.patch(net)}
        edit = CallEdit(**parts, edit=self.edits[x.device], regions=regions, **facts)
        with editing(self.layers[x.device], edit):
            yield edit.options


class InnerModelCall(ModelCall):
    """The same where the network reads the encodings inside, with no patch of the host's before K and V."""

    parts = (*ModelCall.parts, "plain")


class JointModelCall(ModelCall):
    """The same for a transformer with joint attention, which needs the gates alone."""

    parts = ("gates",)

    def _layers(self, net: nn.Module) -> dict[str, nn.Module]:
        edited = self.applied.edit.value_residuals
        return {name: module for name, (module, _) in self.family.layers(net).items() if name in edited}

    @contextmanager
    def _editing(self, net: nn.Module, parts: Parts, x: Tensor, regions: Regions, entries: Mapping[str, Any]):
        if not parts["gates"].any():
            yield lambda options: options
            return
        cells, edit = picture_cells(net, x), JointCall(self.family.text_first)
        frames, beside = x.shape[2] if x.ndim == 5 else 1, -(-self.family.beside(entries) // net.patch_size)
        edit.gates, edit.places = self.family.text_places(parts["gates"], net), frames * cells[0] * (cells[1] + beside)
        edit.before, edit.behind = self.family.around(net, edit.places, entries)
        edit.residuals = self.edits[x.device].value_residuals
        # A picture beside must not see the look: there, a concept without a region has the whole picture for one.
        whole = dict.fromkeys(range(len(self.applied.concepts)) if beside else (), torch.ones(1, 1))
        masks = {j: mask_at(region, *cells).view(cells) for j, region in (whole | dict(regions)).items()}
        masks = {j: nn.functional.pad(mask, (0, beside)).flatten().repeat(frames) for j, mask in masks.items()}
        edit.masks = {j: mask.to(edit.gates) for j, mask in masks.items()}
        with edit.announced(self.layers[x.device]):
            yield edit.options
            edit.check_attended()


def call_kind(family: Family) -> type[ModelCall]:
    """How a family's model calls take an edit."""
    if family.joint:
        return JointModelCall
    return ModelCall if family.as_patch else InnerModelCall

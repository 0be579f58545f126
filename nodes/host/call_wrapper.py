"""The wrappers of the host's model calls: each puts the edited contexts of a batch into one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from ...perfusion_ops import JointEdit
from ...perfusion_ops.edit.regions import mask_at
from ..families.family import Family, family_of
from ..families.unet import UNet, check_projections, is_of_another_pack, with_projections
from .applied import AppliedConcepts
from .conditioning import CONTEXTS, Reading, at_level, with_contexts
from .encoded_prompt import EncodedPrompt
from .joint_call import JointCall, picture_cells
from .layer_hooks import editing
from .levels import Timetable
from .model_call import CallEdit
from .network_reader import inference_dtype
from .read_texts import carrying
from .strength_hook import STRENGTHS, may_rest, possible_shifts, shift_that_holds
from .texts_beside import TextsBeside, edits_texts_beside, is_patched_inside, parts_of_nothing
from .windows import WINDOW, check_whole, region_in

Conditionings = dict[str, list[dict]]
Parts = Mapping[str, Tensor]
"""Name of a part of an edited context -> it, for the rows of a call."""
Regions = Mapping[int, Tensor]
"""Number of a concept with a region -> the part of its mask that a call sees."""


class ModelCall:
    """The wrapper that puts a batch's edited contexts into one model call of a model with text cross-attention."""

    parts: tuple[str, ...] = ("keys", "values", "gates")
    """What it needs of an edited context."""

    def __init__(self, applied: AppliedConcepts, patcher, conds: Conditionings, named: bool = True) -> None:
        self.applied, self.family = applied, family_of(patcher)
        hooked = any(may_rest(cond.get("hooks"), applied.edit.words) for group in conds.values() for cond in group)
        self.rests = "keys" in self.parts and (hooked or any(0 in level for level in applied.levels.strengths))
        self.timetable = Timetable(applied.levels, patcher.get_model_object("model_sampling"))
        self.edits: dict[torch.device, JointEdit] = {}
        self.layers: dict[torch.device, dict[str, nn.Module]] = {}
        """The modules to hook."""
        self.network = patcher.get_model_object("diffusion_model")
        self.beside, self.inside = TextsBeside(applied.edit.words), is_patched_inside(patcher)
        # Before a call: some packs put the blocks into one of their own for its time.
        self.found = self._layers_of(patcher, named)
        self.edits_beside = edits_texts_beside(self.family, self.network)
        """Whether a prompt that another node has the layers read is edited."""

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
        call, named = (x, t, c_concat, c_crossattn, control), parts["gates"] is not None
        if not named:
            if c_crossattn is None or not self.edits_beside:
                return executor(*call, transformer_options, **kwargs)
            parts = parts_of_nothing(c_crossattn, len(self.applied.concepts))
        place = {"device": x.device, "dtype": inference_dtype(executor.class_obj)}
        if x.device not in self.edits:
            self.edits[x.device] = self.applied.edit.to(**place)
            net = executor.class_obj.diffusion_model
            self.layers[x.device] = self.found if net is self.network else self._layers(net)
        parts = {part: tensor.to(**place) for part, tensor in parts.items()}
        if named:
            parts = self._now(parts, transformer_options["sigmas"].max().to(x.device), transformer_options)
        regions = {j: region_in(c.region, seen) for j, c in enumerate(self.applied.concepts) if c.region is not None}
        self.whole = partial(check_whole, seen if regions else None, x.shape)
        if named:
            self.whole()
        other = partial(self._of_another, place, transformer_options)
        carried = named and isinstance(self.family, UNet) and is_of_another_pack(executor.class_obj.diffusion_model)
        if carried:
            call = (x, t, c_concat, carrying(c_crossattn, parts), control)
        self.facts = {"named": named, "inside": self.inside, "carried": carried}
        self.facts |= {"other": other, "read": self.beside.read}
        with self._editing(executor.class_obj.diffusion_model, parts, x, regions, kwargs) as options:
            return executor(*call, options(transformer_options), **kwargs)

    def _of_another(self, place: dict, options: Mapping[str, Any], prompt: EncodedPrompt) -> Parts | None:
        """The edited context that holds now of a prompt that another node has the layers read; none without a concept.
        """
        self.beside.meet(prompt)
        edit, levels = self.applied.edit, self.applied.levels.shifts
        _, count = shift_that_holds(options, edit.words)
        given = with_contexts({"cross_attn": prompt}, edit, place, self.parts, Reading(), levels * count, self.rests)
        if "model_conds" not in given or not set(edit.words) & prompt.words:
            return None
        self.whole()
        parts = {part: given["model_conds"][CONTEXTS[part]].cond for part in self.parts}
        return self._now(parts, options["sigmas"].max().to(place["device"]), options)

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

    def _layers_of(self, patcher, named: bool) -> dict[str, nn.Module]:
        if not isinstance(self.family, UNet):
            return self._layers(self.network)
        layers = self.family.layers_of(patcher)
        if named:
            check_projections(layers)
        return with_projections(layers)

    def _layers(self, net: nn.Module) -> dict[str, nn.Module]:
        layers = self.family.cross_attentions(net)
        return with_projections(layers) if isinstance(self.family, UNet) else layers

    @contextmanager
    def _editing(self, net: nn.Module, parts: Parts, x: Tensor, regions: Regions, entries: Mapping[str, Any]):
        """The edit for one call; yields what makes its options."""
        facts = {"latent_shape": x.shape, "as_patch": self.family.as_patch, "patch": self.family.patch(net)}
        facts["before"] = self.family.before(net, entries)
        edit = CallEdit(**parts, edit=self.edits[x.device], regions=regions, **facts, **self.facts)
        with editing(self.layers[x.device], edit):
            yield edit.options


class InnerModelCall(ModelCall):
    """The same where the network reads the encodings inside, with no patch of the host's before K and V."""

    parts = (*ModelCall.parts, "plain")


class ValuesCall(ModelCall):
    """The same where concepts have a position gate alone: values change at marked tokens, whatever is read there."""

    parts = ("gates",)


class JointModelCall(ModelCall):
    """The same for a transformer with joint attention, which needs the gates alone."""

    parts = ("gates",)

    def _layers(self, net: nn.Module) -> dict[str, nn.Module]:
        edited = self.applied.edit.value_residuals
        return {name: module for name, (module, _) in self.family.layers(net).items() if name in edited}

    @contextmanager
    def _editing(self, net: nn.Module, parts: Parts, x: Tensor, regions: Regions, entries: Mapping[str, Any]):
        named = parts["gates"].flatten(1).any(1)
        if not named.any():
            yield lambda options: options
            return
        cells, edit = picture_cells(net, x), JointCall(self.family.text_first)
        frames, beside = x.shape[2] if x.ndim == 5 else 1, -(-self.family.beside(entries) // net.patch_size)
        edit.gates, edit.places = self.family.text_places(parts["gates"], net), frames * cells[0] * (cells[1] + beside)
        edit.named = None if named.all() else named.nonzero()[:, 0]
        edit.before, edit.behind = self.family.around(net, edit.places, entries)
        edit.residuals = self.edits[x.device].value_residuals
        # A picture beside must not see the look: there, a concept without a region has the whole picture for one.
        whole = dict.fromkeys(range(len(self.applied.concepts)) if beside else (), torch.ones(1, 1))
        masks = {j: mask_at(region, *cells).view(cells) for j, region in (whole | dict(regions)).items()}
        masks = {j: nn.functional.pad(mask, (0, beside)).flatten().repeat(frames) for j, mask in masks.items()}
        # A region that is white in all places is none: what is blended there differs from it by rounding.
        edit.masks = {j: mask.to(edit.gates) for j, mask in masks.items() if not (mask == 1).all()}
        with edit.announced(self.layers[x.device]):
            yield edit.options
            edit.check_attended()


def call_kind(family: Family) -> type[ModelCall]:
    """How a family's model calls take an edit."""
    if family.joint:
        return JointModelCall
    if family.as_patch:
        return ModelCall
    return ValuesCall if family.values_alone else InnerModelCall

"""The host's MODEL: how concepts take effect in it, one model call at a time.

The concepts travel in ``transformer_options`` as one immutable object. At the start of a sampling run each prompt is
edited once; the edited contexts travel with the host's own conditioning, so that it repeats, joins and moves them.
During a model call, and only then, hooks on the projections add the value deltas. No module, weight or single-slot
patch of the host is taken, so clones that share modules, other patches and interruptions cannot meet an edit.
"""

from __future__ import annotations

import math
from functools import partial

import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from ...perfusion_ops import EditTerm
from ..families.family import Family, check_fits, family_of
from .applied import AppliedConcept, AppliedConcepts
from .belonging import naming_strange_prompts
from .call_wrapper import Conditionings, ModelCall, call_kind
from .conditioning import Reading, namings, without_marks
from .naming import Naming, never_open, not_applied, not_named, only_negative
from .network_reader import NetworkReader, inference_dtype
from .windows import with_windows

KEY = "perfusion"
NEGATIVE = "negative"
"""The host's name for a sampler's negative prompt."""


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


def model_that_tells(model, naming: Naming, sentence: str):
    """A clone of ``model`` that draws alike and says ``sentence``, why the concept is not in it, in every run."""

    def told(executor, *args, **kwargs):
        naming.fails(sentence)
        return executor(*args, **kwargs)

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, f"{KEY} tells", told)
    return clone


def applied_terms(model) -> tuple[EditTerm, ...]:
    """The concepts that take effect in ``model``."""
    applied = model.model_options["transformer_options"].get(KEY)
    return applied.terms if applied else ()


def edit_prompts(executor, noise, *args, **kwargs):
    """Around a sampling run: edit every prompt once, let model calls use the result, and say what has no effect."""
    guider = executor.class_obj
    with naming_strange_prompts(guider.model_patcher, guider.conds):
        return _sampled(guider, executor, noise, *args, **kwargs)


def _sampled(guider, executor, noise, *args, **kwargs):
    options = guider.model_options["transformer_options"]
    applied: AppliedConcepts = options[KEY]
    place = {"device": guider.model_patcher.load_device, "dtype": inference_dtype(guider.model_patcher.model)}
    family = family_of(guider.model_patcher)
    kind, named = call_kind(family), _named(guider.conds, applied, family)
    unread = _in_the_negative_alone(guider, family)
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
            _tell(concept, opened, concept.term.concept.word in unread)
    return result


def _tell(concept: AppliedConcept, opened: bool, unread: bool) -> None:
    """Say why a concept that prompts name had no effect in a sampling run; nothing if it had."""
    naming, idle = concept.naming, concept.without_effect()
    if unread:
        naming.fails(only_negative(naming))
    elif idle:
        naming.fails(idle)
    elif not opened:
        naming.fails(never_open(naming, scheduled=concept.schedule.constant is None))
    else:
        naming.works()


def _in_the_negative_alone(guider, family: Family) -> set[str]:
    """The concepts that only a negative prompt names which the host leaves out, as the cfg is 1."""
    usual = type(guider).predict_noise is comfy.samplers.CFGGuider.predict_noise
    leaves_out = usual and not guider.model_options.get("disable_cfg1_optimization", False)
    if not leaves_out or not math.isclose(guider.cfg, 1.0):
        return set()
    read = {name: group for name, group in guider.conds.items() if name != NEGATIVE}
    groups = (namings(conds, family.entry, family.second) for conds in (guider.conds, read))
    everywhere, there = ({naming.word for naming in found} for found in groups)
    return everywhere - there


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

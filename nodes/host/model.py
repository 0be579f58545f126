"""The host's MODEL: how concepts take effect in it, one model call at a time.

The concepts travel in ``transformer_options`` as one immutable object. At the start of a sampling run each prompt is
edited once; the edited contexts travel with the host's own conditioning, so that it repeats, joins and moves them.
During a model call, and only then, hooks on the projections add the value deltas. No module, weight or single-slot
patch of the host is taken, so clones that share modules, other patches and interruptions cannot meet an edit.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...perfusion_ops import EditTerm
from ..families.family import Family, check_fits, family_of
from .applied import AppliedConcept, AppliedConcepts
from .belonging import naming_strange_prompts
from .call_wrapper import Conditionings, ModelCall, call_kind
from .conditioning import Reading, namings, without_marks
from .naming import Naming, never_open, not_applied, not_named, only_negative, taken_away
from .network_reader import NetworkReader, inference_dtype
from .texts_beside import may_be_read_beside
from .windows import with_windows

KEY, KEY_AT_REST = "perfusion", "perfusion at rest"
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


def model_saying(model, naming: Naming):
    """A clone of ``model``, the same in every other way, whose sampling says again what Apply said of a concept."""

    # A function, which no host copies with a model's options.
    def say(executor, *args, **kwargs):
        naming.says_again()
        return executor(*args, **kwargs)

    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY_AT_REST, say)
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
    family = family_of(guider.model_patcher)
    named, unread = _named(guider.conds, applied, family), _in_the_negative_alone(guider, family)
    _say_again(applied, named, namings(guider.conds))
    call = call_kind(family)(applied, guider.model_patcher, guider.conds, bool(named))
    beside = call.edits_beside and may_be_read_beside(guider.model_patcher, options, guider.conds)
    if not beside:
        _tell_unnamed(applied, named)
    if not named:
        guider.conds = {name: [without_marks(cond) for cond in conds] for name, conds in guider.conds.items()}
    if not (named or beside):
        return executor(noise, *args, **kwargs)
    _put_into_calls(guider, call, noise, bool(named))
    result = executor(noise, *args, **kwargs)
    named, unread = named | call.beside.named, unread - call.beside.named
    _tell_unnamed(applied, named)
    _say_again(applied, named, call.beside.met)
    for concept, opened in zip(applied.concepts, call.timetable.opened(), strict=True):
        if concept.term.concept.word in named:
            word = concept.term.concept.word
            _tell(concept, opened, word in unread, word in call.beside.lost)
    return result


def _put_into_calls(guider, call: ModelCall, noise: Tensor, named: bool) -> None:
    """Let ``call`` edit every model call of a sampling run, and the sampler's prompts if they are ``named`` in."""
    patcher, options = guider.model_patcher, guider.model_options["transformer_options"]
    wrappers = options.setdefault("wrappers", {})
    wrappers.setdefault(WrappersMP.APPLY_MODEL, {})[KEY] = [call]
    if any(concept.region is not None for concept in call.applied.concepts):
        guider.conds = with_windows(guider.conds, noise.shape)
    place = {"device": patcher.load_device, "dtype": inference_dtype(patcher.model)}
    if named and network_reads(patcher):
        wrappers.setdefault(WrappersMP.PREPARE_SAMPLING, {})[KEY] = [partial(edit_read_prompts, call, place)]
    elif named:
        guider.conds = call.edited(guider.conds, place, reading_of(patcher))


def _say_again(applied: AppliedConcepts, named: Collection[str], found: Collection[Naming]) -> None:
    """Let the concepts that prompts name by ``found`` say what their Apply nodes and their prompts said of them."""
    of_models = {concept.naming for concept in applied.concepts}
    for naming in of_models | set(found):
        if naming.word in named:
            naming.says_again()


def _tell_unnamed(applied: AppliedConcepts, named: Collection[str]) -> None:
    """Say of each concept that no prompt names that it has no effect."""
    for concept in applied.concepts:
        if concept.term.concept.word not in named:
            concept.naming.fails(not_named(concept.naming))


def _tell(concept: AppliedConcept, opened: bool, unread: bool, lost: bool) -> None:
    """Say why a concept that prompts name had no effect in a sampling run; nothing if it had."""
    naming, idle = concept.naming, concept.without_effect()
    if unread:
        naming.fails(only_negative(naming))
    elif idle:
        naming.fails(idle)
    elif not opened:
        naming.fails(never_open(naming, scheduled=concept.schedule.constant is None))
    elif lost:
        naming.fails(taken_away(naming))
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
    """The applied concepts that prompts of a sampler name; says which of what they name is not applied."""
    held = namings(conds, family.entry, family.second)
    words = {naming.word for naming in held}
    for naming in held:
        if naming.word not in applied.edit.words:
            naming.fails(not_applied(naming))
    return words & set(applied.edit.words)

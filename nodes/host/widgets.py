"""What a widget offers, and the method's own value for each choice."""

from __future__ import annotations

from ...perfusion_ops import GateKind, KeyLocking

GATES = {kind.value: kind for kind in GateKind}
KEY_LOCKINGS = {
    "local": KeyLocking.LOCAL,
    "global gated": KeyLocking.GLOBAL_GATED,
    "global pure": KeyLocking.GLOBAL_PURE,
    "exact": KeyLocking.EXACT,
    "off": KeyLocking.OFF,
}

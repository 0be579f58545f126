"""What a widget offers, and the method's own value for each choice."""

from __future__ import annotations

from ...perfusion_ops import EditedLayers, GateKind, KeyLocking

GATES = {"auto": None} | {kind.value: kind for kind in GateKind}
"""auto: the first that the model's family reads."""
LAYERS = {"auto": EditedLayers.ALL, "all": EditedLayers.ALL, "later half": EditedLayers.LATER_HALF}
"""auto: all, which drew best where it was measured, and which a learned word has always."""
KEY_LOCKINGS = {
    "local": KeyLocking.LOCAL,
    "global gated": KeyLocking.GLOBAL_GATED,
    "global pure": KeyLocking.GLOBAL_PURE,
    "exact": KeyLocking.EXACT,
    "off": KeyLocking.OFF,
}

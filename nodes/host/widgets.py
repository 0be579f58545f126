"""What a widget offers, and the method's own value for each choice."""

from __future__ import annotations

from ...perfusion_ops import EditedLayers, GateKind, KeyLocking

GATES = {"auto": None} | {kind.value: kind for kind in GateKind}
"""auto: the first that the model's family reads."""
LAYERS = {"auto": None, "all": EditedLayers.ALL, "later half": EditedLayers.LATER_HALF}
"""auto: as it drew best where it was measured, and all where it was not."""
KEY_LOCKINGS = {
    "local": KeyLocking.LOCAL,
    "global gated": KeyLocking.GLOBAL_GATED,
    "global pure": KeyLocking.GLOBAL_PURE,
    "exact": KeyLocking.EXACT,
    "off": KeyLocking.OFF,
}

"""The benchmarks can be imported by their names."""

from __future__ import annotations

import sys

from builders.places import ROOT

sys.path.append(str(ROOT / "benchmarks"))

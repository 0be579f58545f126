"""The origin that stands in every record."""

import shlex

from report import command


def test_a_recorded_command_can_be_typed_again():
    typed = ["benchmarks/joint.py", "--part", "alone", "--out", "/a/folder", "--methods", "P, isolated", "LoRA r8"]
    written = command(typed)
    assert shlex.split(written) == ["python", "dev.py", "bench", "joint", *typed[1:3], *typed[5:]]
    assert command(["benchmarks/packs.py"]) == "python dev.py bench packs"

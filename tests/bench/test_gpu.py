"""A GPU that is there for minutes is never lost to one part that hangs or fails."""

from __future__ import annotations

import json
import sys
import time

import pytest

import gpu
from builders.server import device, device_flags

START_A_SLEEPER = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


def run_python(code: str, seconds: float, tmp_path) -> str:
    return gpu.run_until(time.monotonic() + seconds, [sys.executable, "-c", code], tmp_path / "log")


def test_a_part_that_ends_is_finished(tmp_path):
    assert run_python("pass", 60, tmp_path) == "finished"


def test_a_part_that_fails_says_why(tmp_path):
    assert run_python("raise ValueError('no such mode')", 60, tmp_path) == "failed: ValueError: no such mode"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc")
def test_a_part_that_hangs_ends_at_its_deadline_with_all_that_it_started(tmp_path):
    """A server left running would hold the GPU's memory for all later parts."""
    assert run_python(START_A_SLEEPER, 3, tmp_path).startswith("not finished in ")
    child = int((tmp_path / "log").read_text())
    for _ in range(100):
        try:
            with open(f"/proc/{child}/stat") as stat:
                gone = stat.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            gone = True
        if gone:
            return
        time.sleep(0.1)
    raise AssertionError("the part's child still runs")


def test_what_was_found_before_a_deadline_is_kept_and_a_part_without_rows_is_not_measured(tmp_path, monkeypatch):
    def write_one_row(_deadline, command, log):
        (log.parent / "rows.jsonl").write_text('{"model": "SD 1.5", "s a step": 0.5}\n')
        return "not finished in 55 s" if "training" in command[3] else "finished"

    monkeypatch.setattr(gpu, "run_until", write_one_row)
    monkeypatch.setattr(gpu.host, "host_version", lambda: "0.0.0")
    found = gpu.Results(True, tmp_path / "out")
    found.run(gpu.PARTS[1], tmp_path, 0)
    monkeypatch.setattr(gpu, "run_until", lambda *_: "not finished in 40 s")
    found.run(gpu.PARTS[3], tmp_path, 0)
    tables = json.loads((tmp_path / "out/gpu.json").read_text())["tables"]
    assert tables[gpu.PARTS[1].name] == [{"model": "SD 1.5", "s a step": 0.5}] and tables[gpu.PARTS[3].name] == []
    page = (tmp_path / "out/gpu.md").read_text()
    assert "not finished in 55 s" in page and "| SD 1.5 | 0.5 |" in page
    assert page.endswith("## Sampling, SD 1.5\n\nnot measured\n")


def test_the_parts_fit_into_eight_minutes():
    assert sum(part.seconds for part in gpu.PARTS) <= 480


def test_the_device_is_an_explicit_choice(monkeypatch):
    monkeypatch.delenv("PERFUSION_DEVICE", raising=False)
    assert device() == "cpu" and "--cpu" in device_flags()
    monkeypatch.setenv("PERFUSION_DEVICE", "cuda")
    assert device_flags() == ()
    monkeypatch.setenv("PERFUSION_DEVICE", "gpu")
    with pytest.raises(ValueError, match="PERFUSION_DEVICE is 'gpu'; expected 'cpu' or 'cuda'"):
        device()

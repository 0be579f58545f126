"""The project's own tests with the hosts on the device, several files at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from report import ROOT

REHEARSED = "tests/host/host/test_private_copies.py"
AT_ONCE = 10
OUTCOMES = {"failure", "error", "skipped"}


def marked(rehearse: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """The tests marked gpu; without one all of them are skipped."""
    # The files alone that have one: to collect all others takes most of the time.
    files = [str(file) for file in ROOT.glob("tests/**/test_*.py") if "mark.gpu" in file.read_text(encoding="utf-8")]
    yield tested("tests marked gpu", ["-m", "gpu", *sorted(files)], folder / "marked.xml")


def with_host(rehearse: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """A row per file of tests/host, as each ends; not the rehearsal of this command."""
    found = sorted(file for file in ROOT.glob("tests/host/**/test_*.py") if file.name != "test_gpu.py")
    files = [REHEARSED] if rehearse else [str(file.relative_to(ROOT)) for file in found]
    with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(tested, file, [file], folder / f"{n}.xml") for n, file in enumerate(files)]
        for job in as_completed(jobs):
            yield job.result()


def tested(name: str, arguments: list[str], report: Path) -> dict[str, Any]:
    """Run pytest with ``arguments``; how many tests ended how, and the names of those that failed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-P", "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if not report.exists():
        raise RuntimeError(f"pytest left no report of {name}:\n{(result.stderr or result.stdout)[-2000:]}")
    suite = ElementTree.parse(report).getroot().find("testsuite")
    cases = [(case, {child.tag for child in case} & OUTCOMES) for case in suite.iter("testcase")]
    failed = [f"{case.get('classname')}::{case.get('name')}" for case, ended in cases if ended - {"skipped"}]
    return {
        "tests": name,
        "passed": sum(not ended for _, ended in cases),
        "skipped": sum("skipped" in ended for _, ended in cases),
        "failed": len(failed),
        "s": round(float(suite.get("time")), 1),
        "which failed": ", ".join(failed) or "none",
    }

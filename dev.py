"""The project's commands. `python dev.py` lists them; the first call makes .venv in this folder and keeps it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "installed.json"
HOST_SOURCE = "https://github.com/Comfy-Org/ComfyUI"
HOST_VERSION = "v0.33.0"
WORKERS = 2
"""Of a whole test run: each has a ComfyUI of its own, of some 3 GB."""
HOST_DEFAULT = Path.home() / "comfy" / "ComfyUI"

COMMANDS = """\
python dev.py test [pytest arguments]    all tests; the host's too when a ComfyUI is found (required when CI=true)
python dev.py demo [arguments]           train two concepts and draw them, without ComfyUI
python dev.py demo --comfyui             the same in the real ComfyUI, through its API
python dev.py comfyui                    start ComfyUI with the pack and leave it running for a browser
python dev.py frontend VERSION [args]    the tests in a browser, with that version of ComfyUI's frontend
python dev.py bench [name] [arguments]   one benchmark, or the list of them
python dev.py gpu                        everything that needs a GPU, in eight minutes; --rehearse tries it on a CPU
python dev.py lint                       ruff"""


def main() -> int:
    if sys.version_info < (3, 11):
        sys.exit(f"dev.py needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    commands = {
        "test": test,
        "demo": demo,
        "comfyui": comfyui,
        "frontend": frontend,
        "bench": bench,
        "gpu": gpu,
        "lint": lint,
    }
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(COMMANDS)
        return 2
    try:
        return commands[sys.argv[1]](sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit("Stopped. The next call takes care of what was half done.")


def test(arguments: list[str]) -> int:
    host = find_host() or clone_host()
    if host is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            sys.exit("CI=true requires the host tests, and no ComfyUI was found. Set COMFYUI_PATH.")
        print("No ComfyUI: the tests marked 'host' are skipped. Set COMFYUI_PATH to run them.", flush=True)
    # Threads that spin while they wait cost minutes on a busy machine, and tests gain nothing from it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not any(argument.startswith("-n") or Path(argument.split("::")[0]).exists() for argument in arguments):
        # The whole run: files side by side, one thread each.
        arguments = ["-n", str(min(WORKERS, os.cpu_count() or 1)), *arguments]
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # -P: the root must not stand first on sys.path, where its nodes/ would hide the host's nodes.py.
    return run(["-P", "-m", "pytest", *arguments], host)


def demo(arguments: list[str]) -> int:
    if "--comfyui" not in arguments:
        return run(["benchmarks/demo.py", *arguments], None)
    arguments.remove("--comfyui")
    return run(["benchmarks/host_demo.py", *arguments], require_host())


def comfyui(arguments: list[str]) -> int:
    return run(["benchmarks/host_demo.py", "--serve", *arguments], require_host())


def frontend(arguments: list[str]) -> int:
    if not arguments:
        sys.exit("Name a version, such as 1.38.13.")
    version, *arguments = arguments
    folder = ROOT / "build" / "frontends" / version
    static = folder / "comfyui_frontend_package" / "static"
    if not static.exists():
        install = [environment(require_host()), "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        if subprocess.run([*install, f"comfyui-frontend-package=={version}"]).returncode:
            return 1
    os.environ["PERFUSION_FRONT_END"] = str(static)
    return test([*map(str, sorted((ROOT / "tests/host/pack").glob("test_browser*.py"))), "-v", *arguments])


def bench(arguments: list[str]) -> int:
    files = (ROOT / "benchmarks").glob("*.py")
    names = sorted(path.stem for path in files if "__main__" in path.read_text(encoding="utf-8"))
    if not arguments or arguments[0] not in names:
        print("Benchmarks:", ", ".join(names) or "none yet")
        return 2 if arguments else 0
    return run([f"benchmarks/{arguments[0]}.py", *arguments[1:]], find_host())


def gpu(arguments: list[str]) -> int:
    return run(["benchmarks/gpu.py", *arguments], require_host())


def lint(arguments: list[str]) -> int:
    return run(["-P", "-m", "ruff", "check", *arguments, "."], None)


def run(command: list[str], host: Path | None) -> int:
    """Run Python with ``command`` inside the environment; ``host`` reaches it as COMFYUI_PATH."""
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])}
    settings.pop("COMFYUI_PATH", None)
    if "-P" in command:
        del settings["PYTHONPATH"]
    if host is not None:
        settings["COMFYUI_PATH"] = str(host)
    process = subprocess.Popen([str(environment(host)), *command], cwd=ROOT, env=settings)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal sends Ctrl-C to the child too; it cleans up and ends by itself.
            continue


def find_host() -> Path | None:
    """The ComfyUI to work with: COMFYUI_PATH, the folder above custom_nodes/, or comfy-cli's default."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        if not is_host(Path(named)):
            sys.exit(f"COMFYUI_PATH is {named}, which holds no ComfyUI (no main.py and comfy/). Correct or unset it.")
        return Path(named).resolve()
    above = [ROOT.parent.parent] if ROOT.parent.name == "custom_nodes" else []
    return next((folder for folder in [*above, HOST_DEFAULT] if is_host(folder)), None)


def is_host(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def clone_host() -> Path | None:
    """Clone ComfyUI to comfy-cli's default place; None, after one plain line, where that cannot be done."""
    if HOST_DEFAULT.exists():
        print(f"{HOST_DEFAULT} exists but holds no ComfyUI; it is left as it is.", flush=True)
        return None
    HOST_DEFAULT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOST_DEFAULT.parent) as folder:
        target = Path(folder) / "ComfyUI"
        command = ["git", "clone", "--quiet", "--depth", "1", "--branch", HOST_VERSION, HOST_SOURCE, str(target)]
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=600,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            )
        except (OSError, subprocess.SubprocessError):
            print(f"ComfyUI {HOST_VERSION} could not be cloned from {HOST_SOURCE} on this machine.", flush=True)
            return None
        target.rename(HOST_DEFAULT)
    return HOST_DEFAULT


def require_host() -> Path:
    host = find_host() or clone_host()
    if host is None:
        sys.exit("This command needs ComfyUI. Set COMFYUI_PATH to its folder.")
    return host


def environment(host: Path | None) -> Path:
    """The interpreter of .venv, with the dev extra and the host's requirements installed."""
    if os.environ.get("PERFUSION_PYTHON"):
        return Path(os.environ["PERFUSION_PYTHON"])
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = wanted_requirements(host)
    stamps = {name: digest(lines) for name, lines in wanted.items()}
    installed = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    if python.exists() and stamps.items() <= installed.items():
        return python
    # pip leaves half-written packages behind when it is stopped: without a stamp nothing in .venv can be trusted.
    venv.create(ENVIRONMENT, with_pip=True, clear=not STAMP.exists())
    STAMP.unlink(missing_ok=True)
    print("Installing what the commands need into .venv (once; some minutes) ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "requirements.txt"
        listing.write_text("\n".join(line for lines in wanted.values() for line in lines) + "\n")
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", listing]
        if subprocess.run(command).returncode:
            sys.exit("The installation failed; pip says why above. Call again to start over.")
    STAMP.write_text(json.dumps(stamps))
    return python


def wanted_requirements(host: Path | None) -> dict[str, list[str]]:
    """Requirement lines: the dev extra, which pins torch, and the host's own."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"dev": project["optional-dependencies"]["dev"]}
    if host is not None:
        wanted["host"] = (host / "requirements.txt").read_text().splitlines()
    return wanted


def digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join([sys.version, *lines]).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())

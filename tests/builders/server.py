"""A real ComfyUI on loopback with the pack linked in, and a client of its HTTP and websocket API."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import websocket
from PIL import Image

from builders.places import ROOT

PACK_FOLDER = "ComfyUI-Perfusion"
START_SECONDS = 600
SILENT_SECONDS = 600
TEXT_MESSAGE = 3
"""The kind of binary message that carries a node's line: the length of the node's id, the id, the text."""

CLEARED = " "
"""The line that clears a node's: the browser takes no notice of an empty one."""


def device() -> str:
    """Where hosts compute, by PERFUSION_DEVICE: ``cpu``, the default, or ``cuda``. Raises ValueError for another."""
    name = os.environ.get("PERFUSION_DEVICE", "cpu")
    if name not in ("cpu", "cuda"):
        raise ValueError(f"PERFUSION_DEVICE is {name!r}; expected 'cpu' or 'cuda'. Correct or unset it.")
    return name


def device_flags() -> tuple[str, ...]:
    """The flags that go with ``device``: none on a GPU, where the host starts as users start it."""
    return ("--cpu", "--fp32-text-enc") if device() == "cpu" else ()


def host_version(comfyui: Path) -> tuple[int, ...]:
    """Of the ComfyUI in a folder, such as (0, 33, 0)."""
    return tuple(map(int, re.findall(r"\d+", (comfyui / "comfyui_version.py").read_text().partition("=")[2])))


class WorkflowError(RuntimeError):
    """A node raised. ``node`` is its id, ``message`` what a user reads."""

    def __init__(self, node: str, message: str) -> None:
        super().__init__(f"node {node}: {message}")
        self.node, self.message = node, message


class Rejected(RuntimeError):
    """The server refused to queue a workflow; the text holds its reasons."""


@dataclass(frozen=True)
class Result:
    """What a finished workflow left: node id -> what it showed, and every event on the way."""

    outputs: dict[str, dict]
    events: list[dict] = field(repr=False)
    previews: list[bytes] = field(repr=False)
    interrupted: bool = False

    def events_of(self, kind: str) -> list[dict]:
        return [event["data"] for event in self.events if event["type"] == kind]

    def texts(self) -> list[str]:
        """The lines that nodes showed while they ran."""
        bodies = [message[4:] for message in self.previews if int.from_bytes(message[:4], "big") == TEXT_MESSAGE]
        return [body[4 + int.from_bytes(body[:4], "big") :].decode() for body in bodies]


class Server:
    """``with Server(comfyui, folder) as server: server.run(workflow)``. ``folder`` holds models, input and output."""

    def __init__(
        self,
        comfyui: Path,
        folder: Path,
        flags: tuple[str, ...] = (),
        pack: bool = True,
        helpers: bool = True,
        port: int = 0,
    ) -> None:
        self.comfyui, self.folder, self.flags, self.pack = comfyui, folder, flags, pack
        self.port = port or _free_port()
        self.log = folder / "server.log"
        self.startup_log = ""
        """What the server wrote until it answered; what came later is in ``log_text()``."""
        self.client = ""
        for name in ("models/checkpoints", "custom_nodes", "input", "output", "temp", "user"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        packs = {}
        if helpers:
            packs["perfusion_test_helpers"] = Path(__file__).with_name("helper_nodes")
            packs["small_sizes"] = Path(__file__).with_name("small_sizes")
        if pack:
            packs[PACK_FOLDER] = ROOT
        for name, source in packs.items():
            link = folder / "custom_nodes" / name
            if not link.exists():
                link.symlink_to(source, target_is_directory=True)

    def __enter__(self) -> Server:
        command = [
            *(sys.executable, "main.py", "--listen", "127.0.0.1", "--port", str(self.port)),
            *("--base-directory", str(self.folder), "--disable-auto-launch", "--disable-api-nodes"),
            *("--database-url", "sqlite:///:memory:", *device_flags(), *self._front_end_flags(), *self.flags),
        ]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "COMFYUI_PATH")}
        environment["PYTHONFAULTHANDLER"] = "1"
        with open(self.log, "ab") as log:
            begins = log.tell()
            self.process = subprocess.Popen(
                command, cwd=self.comfyui, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.startup_log = self.log.read_bytes()[begins:].decode(errors="replace")
        return self

    def _front_end_flags(self) -> tuple[str, ...]:
        """A frontend that PERFUSION_FRONT_END names; a host without its own starts with an empty folder to serve."""
        if os.environ.get("PERFUSION_FRONT_END"):
            return "--front-end-root", os.environ["PERFUSION_FRONT_END"]
        if importlib.util.find_spec("comfyui_frontend_package"):
            return ()
        folder = self.folder / "front_end"
        folder.mkdir(exist_ok=True)
        return "--front-end-root", str(folder)

    def __exit__(self, *_error) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (kill -9)."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended while starting:\n{self.log_text()[-4000:]}")
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI did not answer within {START_SECONDS} s:\n{self.log_text()[-4000:]}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        """The answer to a GET: parsed when it is JSON, bytes otherwise."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as answer:
            data = answer.read()
            return json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data

    def post(self, path: str, content: dict | None = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data=json.dumps(content or {}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            data = answer.read()
            return json.loads(data) if data else None

    def queue(self, workflow: dict) -> str:
        """Queue a workflow in API form; its id. Raises Rejected with the server's reasons."""
        try:
            return self.post("/prompt", {"prompt": workflow, "client_id": self.client})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise Rejected(error.read().decode()) from None

    def interrupt(self) -> None:
        self.post("/interrupt")

    def events(self) -> websocket.WebSocket:
        """A socket for what is queued from now on, under a name of its own.

        The host forgets a name when its socket closes: a name used again would be forgotten by the one before it.
        """
        self.client = uuid.uuid4().hex
        return websocket.create_connection(f"ws://{self.address}/ws?clientId={self.client}", timeout=SILENT_SECONDS)

    def run(self, workflow: dict, on_event=None) -> Result:
        """Queue a workflow and wait for its end. ``on_event(server, event)`` sees every event as it comes."""
        socket_ = self.events()
        try:
            return self.wait(self.queue(workflow), socket_, on_event)
        finally:
            socket_.close()

    def wait(self, prompt: str, socket_: websocket.WebSocket, on_event=None) -> Result:
        """Follow a queued workflow to its end. Raises WorkflowError when a node does."""
        events: list[dict] = []
        previews: list[bytes] = []
        while True:
            message = self._next_message(socket_)
            if isinstance(message, bytes):
                previews.append(message)
                event = {"type": "binary", "data": {"kind": int.from_bytes(message[:4], "big"), "bytes": message[4:]}}
            else:
                event = json.loads(message)
            if event["data"].get("prompt_id", prompt) != prompt:
                continue
            if event["type"] != "binary":
                events.append(event)
            if on_event is not None:
                on_event(self, event)
            if event["type"] == "execution_error":
                raise WorkflowError(event["data"]["node_id"], event["data"]["exception_message"].strip())
            if event["type"] in ("execution_success", "execution_interrupted"):
                outputs = self._outputs(prompt)
                return Result(outputs, events, previews, event["type"] == "execution_interrupted")

    def _next_message(self, socket_: websocket.WebSocket) -> str | bytes:
        """The next event. A host that is silent for too long is ended, and says where each of its threads stood."""
        try:
            return socket_.recv()
        except websocket.WebSocketTimeoutException:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            log = self.log_text().split("Extension modules:")[0][-8000:]
            raise RuntimeError(f"ComfyUI said nothing for {SILENT_SECONDS} s:\n{log}") from None

    def _outputs(self, prompt: str) -> dict[str, dict]:
        # The history entry is written just after the last event is sent.
        for _ in range(100):
            history = self.get(f"/history/{prompt}")
            if prompt in history:
                return history[prompt]["outputs"]
            time.sleep(0.05)
        raise RuntimeError(f"workflow {prompt} left no history")

    def pictures(self, result: Result, node: str) -> np.ndarray:
        """What a Save or Preview Image node showed: (N, H, W, 3) uint8."""
        return np.stack([self.picture(entry) for entry in result.outputs[node]["images"]])

    def picture(self, entry: dict) -> np.ndarray:
        data = self.get(f"/view?{urllib.parse.urlencode(entry)}")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

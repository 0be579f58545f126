"""What the pack says while a workflow runs: a line on the node, and warnings in the server's log too."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from comfy_api.latest import ui
from comfy_execution.utils import get_executing_context
from server import PromptServer

from . import folders

CLEARED = " "
"""In place of a line that is taken back: the browser takes no notice of an empty one."""
_warned: set[str | None] = set()
"""Nodes that show a warning. The browser keeps a node's line until another comes, so it must be taken back."""


def running_node() -> str | None:
    """The id of the node that runs just now; none outside of a workflow."""
    context = get_executing_context()
    return context.node_id if context else None


def current_run() -> str | None:
    """The id of the queued workflow that runs just now; none outside of one."""
    context = get_executing_context()
    return context.prompt_id if context else None


def show_on_node(text: str, node: str | None) -> None:
    """A line on a node in the browser, an empty one in place of an earlier one; nowhere without a node."""
    if node is not None and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text or CLEARED, node)


def show_last(text: str, node: str | None) -> None:
    """The line that a node ends with. Newer frontends take it away when the job ends; our script shows it again."""
    show_on_node(text, node)
    if node is not None:
        send_event("perfusion.told", {"node": node, "text": text})


def last_line(text: str) -> ui.PreviewText:
    """What the running node ends with: on the node, and for the workflow's outputs, which no node of ours shows."""
    show_last(text, running_node())
    return ui.PreviewText(text)


def send_event(name: str, content: dict[str, Any]) -> None:
    """An event of ours to the browser that queued the workflow; nowhere without a server. Nothing may depend on it."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.send_sync(name, content, server.client_id)


def tell_saved(word: str, path: Path) -> None:
    """The browser learns of a new concept file in the output folder, as it will be listed."""
    file = str(path.relative_to(folders.output_folder()))
    send_event("perfusion.saved", {"node": running_node(), "word": word, "file": file})


def warn(line: str, logged: str, node: str | None) -> None:
    """``logged`` in the server's log, ``line`` on ``node``, which takes it back at its next run without warnings."""
    logging.warning("Perfusion: %s", logged)
    _warned.add(node)
    show_on_node(line, node)
    # Newer frontends take a node's line away when its job ends.
    send_event("perfusion.warning", {"node": node, "text": line})


def warn_of(*sentences: str | None) -> str:
    """Warnings in the server's log and on the running node; with none, an earlier run's is cleared. Their text."""
    text, node = " ".join(filter(None, sentences)), running_node()
    if text:
        warn(text, text, node)
    elif node in _warned:
        show_on_node("", node)
        _warned.discard(node)
    return text

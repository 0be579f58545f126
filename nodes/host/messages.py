"""What the pack says while a workflow runs: a line on the node, and warnings in the server's log too."""

from __future__ import annotations

import logging

from comfy_execution.utils import get_executing_context
from server import PromptServer

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
    """A line on a node in the browser; nowhere without one."""
    if node is not None and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text, node)


def warn(line: str, logged: str, node: str | None) -> None:
    """``logged`` in the server's log, ``line`` on ``node``, which takes it back at its next run without warnings."""
    logging.warning("Perfusion: %s", logged)
    _warned.add(node)
    show_on_node(line, node)


def warn_of(*sentences: str | None) -> str:
    """Warnings in the server's log and on the running node; with none, an earlier run's is cleared. Their text."""
    text, node = " ".join(filter(None, sentences)), running_node()
    if text:
        warn(text, text, node)
    elif node in _warned:
        show_on_node("", node)
        _warned.discard(node)
    return text

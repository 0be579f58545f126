"""What a long drawing says on its node."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..host.messages import running_node, show_last, show_on_node


@dataclass
class Line:
    """Says which of ``total`` parts is being drawn, and the time that is left."""

    total: int
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def begins(self, what: str) -> None:
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            left = f" · {time.strftime('%H:%M:%S', time.gmtime(seconds))} left"
        self.done += 1
        show_on_node(f"{self.done}/{self.total} · {what}{left}", running_node())

    @staticmethod
    def ends(what: str) -> None:
        show_last(what, running_node())

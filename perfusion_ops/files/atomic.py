"""Files that are whole or not there."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


class NotSavedError(OSError):
    """What a disk answered when a file was to be written, as a sentence."""

    def __init__(self, path: Path, size: int, answer: OSError) -> None:
        super().__init__(answer.errno, answer.strerror)
        self.path, self.size = path, size

    def __str__(self) -> str:
        return (
            f"{self.path.name!r} could not be saved ({self.strerror}); expected {self.size:,} bytes of room in a "
            f"folder that may be written to. Free some space or choose another folder than {str(self.path.parent)!r}."
        )


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file beside it; an error or a crash leaves the old file intact.

    Raises NotSavedError (full disk, read-only folder).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise NotSavedError(path, len(data), error) from error
    finally:
        # A read-only file system refuses this too, and would hide the sentence.
        with suppress(OSError):
            temporary.unlink()

"""What workflows start from, small, in a host's folder of inputs: pictures with a hole, films and sounds."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

FRAMES, SIDE, FRAMES_A_SECOND = 5, 64, 8
SECONDS, RATE = 2, 16000


def write_holed(picture: Path, files: Iterable[Path]) -> None:
    """Copies of a picture whose left half is transparent, for workflows that paint in a mask."""
    with Image.open(picture) as opened:
        holed, alpha = opened.convert("RGB"), Image.new("L", opened.size, 255)
    alpha.paste(0, (0, 0, holed.width // 2, holed.height))
    holed.putalpha(alpha)
    for file in files:
        holed.save(file, "PNG")


def write_film(file: Path) -> None:
    """FRAMES pictures of SIDE pixels, in which stripes move."""
    import av

    across = np.arange(SIDE)
    with av.open(file, "w", format="mp4") as film:
        stream = film.add_stream("h264", rate=FRAMES_A_SECOND)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            red = 127 + 120 * np.sin((across + 8 * number) / 5)
            picture = np.stack(np.broadcast_arrays(red[None, :], red[:, None], 4.0 * across[None, :]), -1)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24")))
        film.mux(stream.encode())


def write_sound(file: Path, rise: float = 110) -> None:
    """A tone that rises by so many hertz in half a second: a WAV file, whatever it is called, as the host looks inside.
    """
    time = np.arange(SECONDS * RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * (220 + rise * time) * time)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((32767 * tone).astype("<i2").tobytes())

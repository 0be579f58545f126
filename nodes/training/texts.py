"""Templates and captions as users write or connect them: each names the subject once."""

from __future__ import annotations

from collections.abc import Sequence

from ...perfusion_ops.text.prompts import DEFAULT_TEMPLATES, SLOT, split_template
from ...perfusion_ops.text.words import find_words


def templates_of(text: str) -> tuple[str, ...]:
    """The sentences on the lines of ``text``. Raises ValueError for one that does not name the subject once."""
    lines = _lines(text)
    for line in lines:
        if line.count(SLOT) != 1:
            raise ValueError(
                f"The template {line!r} names the concept {line.count(SLOT)} times; write {SLOT} once, in its place."
            )
    return lines


def check_named_once(word: str, templates: Sequence[str]) -> None:
    """Raise ValueError for a template that holds the concept word itself, which would name the subject there too."""
    for template in templates:
        if any(find_words(part, [word]) for part in split_template(template)):
            raise ValueError(
                f"The concept word is {word!r}, which is also a word of the sentence {template!r} that is trained on. "
                f"Choose another word, such as {'my_' + word.replace(' ', '_')!r}, or another sentence."
            )


def check_preview_prompt(prompt: str) -> None:
    """Raise ValueError for a preview_prompt without one place for the concept."""
    if prompt.count(SLOT) != 1:
        raise ValueError(
            f"The preview_prompt {prompt!r} has {prompt.count(SLOT)} places for the concept; write exactly one {SLOT}, "
            f"as in {DEFAULT_TEMPLATES[0]!r}."
        )


def captions_of(texts: Sequence[str], pictures: int, word: str, superclass: str) -> tuple[str, ...]:
    """A template for each picture, empty for a picture without a caption; none at all if no picture has one.

    A single text holds one on each line. Of several, as a data set's list, each is one. A caption without ``{}`` names
    the subject by its word or by its superclass. Raises ValueError for one that does not name it once, and unless
    there is one for each picture.
    """
    captions = _lines(texts[0]) if len(texts) == 1 else tuple(" ".join(text.split()) for text in texts)
    if not any(captions):
        return ()
    if len(captions) != pictures:
        raise ValueError(f"There are {pictures} pictures and {len(captions)} captions; expected one for each.")
    found = tuple(_template(caption, word, superclass) for caption in captions)
    wrong = [number for number, template in enumerate(found) if template is None]
    if wrong:
        more = f" {len(wrong)} captions are like it." if len(wrong) > 1 else ""
        raise ValueError(
            f"Caption {wrong[0] + 1}, {captions[wrong[0]]!r}, does not name the subject exactly once: write {SLOT}, "
            f"{word!r} or {superclass!r} in its place.{more}"
        )
    return found


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _template(caption: str, word: str, superclass: str) -> str | None:
    """``caption`` with ``{}`` in the subject's place; none if the subject is not named, or more than once."""
    if not caption or SLOT in caption:
        return caption if caption.count(SLOT) == bool(caption) else None
    for name in (f"{word} {superclass}", word, superclass):
        places = find_words(caption, [name])
        if places:
            before, after = caption[: places[0].start], caption[places[0].end :]
            return f"{before}{SLOT}{after}" if len(places) == 1 else None
    return None

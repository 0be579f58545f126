"""Where the pack's files are, and which names a user may give them."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import folder_paths

from .file_names import MAX_BYTES, is_safe, normal

CONCEPTS = "perfusion"
STATISTICS = "perfusion_statistics"
EMBEDDINGS = "embeddings"
IMPORTS = "perfusion_import"
EXTENSION = ".safetensors"
LONGEST_NAME = MAX_BYTES - 55
"""Bytes of a name that users give: room for a number, the ending, and what a file is called while it is written."""
IMPORT_EXTENSIONS = {".pt", ".ckpt", ".bin"}


def register_folders() -> None:
    """``models/perfusion`` and ``output/perfusion`` for concepts, beside the user's own extra paths."""
    for name, extra in ((CONCEPTS, [output_folder()]), (STATISTICS, [])):
        for path in (Path(folder_paths.models_dir) / name, *extra):
            folder_paths.add_model_folder_path(name, str(path))
        # Paths from extra_model_paths.yaml come with an empty set of extensions, which lists every file.
        paths, _extensions = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (paths, {EXTENSION})
    folder_paths.add_model_folder_path(EMBEDDINGS, str(embeddings_folder()))
    folder_paths.add_model_folder_path(IMPORTS, str(Path(folder_paths.models_dir) / IMPORTS))
    folder_paths.folder_names_and_paths[IMPORTS] = (folder_paths.get_folder_paths(IMPORTS), IMPORT_EXTENSIONS)


def make_ready() -> None:
    """Make the folders that people copy files to, so that they are found; where models are read-only, they stay away.
    """
    for name in (CONCEPTS, IMPORTS):
        path = Path(folder_paths.models_dir) / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            logging.info("Perfusion: the folder %s could not be made (%s).", path, error.strerror)


def embeddings_folder() -> Path:
    """Where exported words go: a folder that ``embedding:name`` in a prompt reads."""
    return Path(folder_paths.get_output_directory()) / EMBEDDINGS


def import_names() -> list[str]:
    """The files of other programs in ``models/perfusion_import``."""
    exists = any(map(os.path.isdir, folder_paths.get_folder_paths(IMPORTS)))
    return folder_paths.get_filename_list(IMPORTS) if exists else []


def import_path(name: str | None) -> Path:
    """A listed file of another program. Raises ValueError when there is no such file."""
    advice = "Copy a .pt, .ckpt or .bin there and press R."
    return _listed(IMPORTS, name, f"There is no file {name!r} in models/perfusion_import. {advice}")


def output_folder() -> Path:
    """Where trained and saved concepts go."""
    return Path(folder_paths.get_output_directory()) / CONCEPTS


def statistics_folder() -> Path:
    return Path(folder_paths.get_folder_paths(STATISTICS)[0])


def statistics_folders() -> list[Path]:
    """Where text statistics are kept, and where instead, if models are read-only."""
    return [statistics_folder(), Path(folder_paths.get_output_directory()) / STATISTICS]


def concept_names() -> list[str]:
    return folder_paths.get_filename_list(CONCEPTS)


def concept_path(name: str | None) -> Path:
    """The file of a listed concept. Raises ValueError when there is no such file."""
    return _listed(
        CONCEPTS,
        name,
        f"There is no concept file {name!r} in models/perfusion or output/perfusion. Train one, or copy one there and "
        "press R.",
    )


def _listed(kind: str, name: str | None, missing: str) -> Path:
    path = folder_paths.get_full_path(kind, name) if name else None
    if path is None:
        raise ValueError(missing)
    return Path(path)


def content_hash(path: Path, most: int) -> str:
    """By which a node that reads a listed file knows that it changed.

    No more than ``most`` bytes and one: a checkpoint among the files would fill the memory.
    """
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(most + 1)).hexdigest()


def states(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """The same for many files, or for one of them that only another node knows: names, sizes and times."""
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


@contextmanager
def path_to_save(name: str, overwrite: bool, folder: Path | None = None) -> Iterator[Path]:
    """The file for a name such as ``pets/teddy``; a number is added to a name that is taken.

    It lies in ``folder``, by default the one of concepts. A name is also taken by a file in another registered folder,
    as in ``models/perfusion``: of two files of one name the host finds one alone.

    The name is reserved by an empty file, so that two servers cannot take the same, and given up if the block raises.
    Raises ValueError for names that some system does not take, or that would lead out of the folder.
    """
    parts = _parts(name)
    folder = folder or output_folder()
    path = folder.joinpath(*parts[:-1], parts[-1] + EXTENSION)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"The file name {name!r} leads out of {folder.name!r}; choose a name inside it.")
    made(path.parent)
    if not overwrite:
        path = _reserved(path, folder)
    elif (elsewhere := _elsewhere(path, folder)) is not None:
        raise ValueError(
            f"There is a file {elsewhere.name!r} in {str(elsewhere.parent)!r} as well, and of two files of one name "
            "ComfyUI finds one alone. Choose another name, or move that file away."
        )
    try:
        yield path
    except BaseException:
        if not overwrite and path.stat().st_size == 0:
            path.unlink()
        raise


def _elsewhere(path: Path, folder: Path) -> Path | None:
    """A file of the name of ``path`` below another registered folder."""
    kind = EMBEDDINGS if folder == embeddings_folder() else CONCEPTS
    for other in map(Path, folder_paths.get_folder_paths(kind)):
        found = other / path.relative_to(folder)
        # Folders may be links to one another.
        if found.is_file() and found.resolve() != path.resolve():
            return found
    return None


def _reserved(path: Path, folder: Path) -> Path:
    for number in itertools.count(1):
        candidate = path if number == 1 else path.with_name(f"{path.stem}_{number}{EXTENSION}")
        if _elsewhere(candidate, folder) is not None:
            continue
        try:
            candidate.touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise ValueError(f"{candidate.name!r} could not be saved ({error.strerror}); choose another.") from error
        return candidate


def made(folder: Path) -> Path:
    """The folder, which now exists. Raises ValueError when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The folder {str(folder)!r} could not be made ({error.strerror}); allow writing there, or choose another."
        ) from error
    return folder


def _parts(name: str) -> list[str]:
    """The sub-folders and the name of a file, as every system takes them. Raises ValueError for others."""
    parts = normal(name).strip().replace("\\", "/").removesuffix(EXTENSION).split("/")
    if not all(map(is_safe, parts)):
        raise ValueError(
            f"The file name is {name!r}; expected a name, with sub-folders if you like, such as 'pets/teddy', without "
            'dots at either end, none of : * ? " < > | or signs that cannot be seen, and no name that Windows keeps '
            "for itself, such as CON."
        )
    longest = max(parts, key=lambda part: len(part.encode()))
    if len(longest.encode()) > LONGEST_NAME:
        raise ValueError(
            f"The file name is {longest!r}, {len(longest.encode())} bytes long; expected a name of at most "
            f"{LONGEST_NAME} bytes. Shorten it."
        )
    return parts

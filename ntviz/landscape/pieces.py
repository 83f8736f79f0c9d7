"""A folder of finished pieces: each is there whole or not at all, and a manifest says what they were made with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment
from ntviz.landscape.tiling import Stretch

MANIFEST = "manifest.json"


class Folder:
    """Pieces of one landscape on disk.

    Parameters
    ----------
    path
        Made if missing.
    settings
        Everything that the numbers follow from; plain data.

    Raises
    ------
    ValueError
        The folder holds a landscape made with other settings, or files of something else.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        manifest = self.path / MANIFEST
        given = json.loads(json.dumps(settings))
        if manifest.exists():
            try:
                known = json.loads(manifest.read_text())
            except ValueError as error:
                raise ValueError(
                    f"A manifest must be JSON that ntviz wrote; {manifest} is not ({error}). Name another folder, or "
                    "remove this one to begin again."
                ) from error
            self._agree(known, given)
            return
        if self._holds_something_else():
            raise ValueError(
                f"A folder for a landscape must be new, empty, or hold {MANIFEST}; {self.path} holds something else. "
                "Name another folder."
            )
        with environment.atomic_write(manifest, "w") as handle:
            json.dump(given, handle, indent=1, sort_keys=True)

    def _holds_something_else(self) -> bool:
        if not self.path.exists():
            return False
        # Another shard may be writing the manifest at this moment.
        return not self.path.is_dir() or any(
            one.name != MANIFEST and not one.name.startswith(f".{MANIFEST}.") for one in self.path.iterdir()
        )

    def _agree(self, known: dict[str, Any], given: dict[str, Any]) -> None:
        for key in sorted(known.keys() | given.keys()):
            if known.get(key) != given.get(key):
                raise ValueError(
                    f"A folder must hold a landscape of the same settings; {self.path} was made with {key} = "
                    f"{known.get(key)!r}, and {given.get(key)!r} came. Name another folder, or the same settings."
                )

    def file(self, piece: Stretch) -> Path:
        """Where a piece is kept."""
        return self.path / "pieces" / f"{piece.start:012d}-{piece.end:012d}.npz"

    def read(self, piece: Stretch, bases: str, names: Sequence[str]) -> dict[str, np.ndarray] | None:
        """A piece as it was written; None where it is missing, damaged, or of other bases, and has to be made again."""
        try:
            content = self.file(piece).read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in names}
                same = str(arrays["bases"]) == _digest(bases)
        except (OSError, *environment.DAMAGED):
            return None
        fits = all(len(values) == piece.end - piece.start for values in found.values())
        return found if same and fits else None

    def missing(self, pieces: Sequence[Stretch]) -> list[int]:
        """Places in the list of the pieces that are not there yet."""
        return [number for number, piece in enumerate(pieces) if not self.file(piece).exists()]

    def write(self, piece: Stretch, bases: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps a piece."""
        content = {"bases": np.array(_digest(bases)), **arrays}
        with environment.atomic_write(self.file(piece)) as handle:
            np.savez_compressed(handle, allow_pickle=False, **content)

    def assemble(self, pieces: Sequence[Stretch], names: Sequence[str]) -> dict[str, np.ndarray]:
        """All pieces one after another, float32 [base] by name, as read-only files mapped into memory."""
        first, last = pieces[0].start, pieces[-1].end
        temporary = {name: self.path / f"{name}.{secrets.token_hex(4)}.npy" for name in names}
        try:
            whole = {
                name: np.lib.format.open_memmap(path, "w+", np.float32, (last - first,))
                for name, path in temporary.items()
            }
            for piece in pieces:
                with np.load(self.file(piece), allow_pickle=False) as arrays:
                    for name in names:
                        whole[name][piece.start - first : piece.end - first] = arrays[name]
            for name, path in temporary.items():
                whole[name].flush()
                os.replace(path, self.path / f"{name}.npy")
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)
        return {name: np.load(self.path / f"{name}.npy", mmap_mode="r") for name in names}


def _digest(bases: str) -> str:
    return hashlib.blake2b(bases.encode("ascii"), digest_size=16).hexdigest()

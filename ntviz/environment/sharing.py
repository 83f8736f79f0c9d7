"""Work that several jobs share: who does which pieces, the folder where they meet, and what a job says at its end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntviz.environment.files import atomic_write


def share(total: int, shard: tuple[int, int]) -> range:
    """Numbers, from 0, of the pieces that are one shard's: every n-th, so that long stretches of easy ones are shared too.

    Parameters
    ----------
    total
        Number of pieces.
    shard
        (i, n): the i-th of n shards, counted from 1.

    Raises
    ------
    ValueError
        There is no such shard.

    Examples
    --------
    >>> [list(share(7, (i, 3))) for i in (1, 2, 3)]
    [[0, 3, 6], [1, 4], [2, 5]]
    """
    if len(shard) != 2 or not 1 <= shard[0] <= shard[1]:
        raise ValueError(
            f"shard must be (i, n) with i from 1 to n; received {tuple(shard)}. The first of four is (1, 4)."
        )
    return range(shard[0] - 1, total, shard[1])


@dataclass(frozen=True)
class Unfinished:
    """What a shard returns: its own pieces are there, those of other shards may still be missing.

    Attributes
    ----------
    path
        Folder of the pieces.
    done, total
        Numbers of pieces.
    missing
        Numbers of the missing ones, zero-based.
    """

    path: Path
    done: int
    total: int
    missing: tuple[int, ...]

    def __repr__(self) -> str:
        then = (
            "When the other shards are through, the same without a shard puts all together."
            if self.missing
            else "The same without a shard puts all together."
        )
        return f"{self.done:,} of {self.total:,} pieces are in {self.path}. {then}"


@dataclass(frozen=True)
class Finished:
    """What the run without a shard returns.

    Attributes
    ----------
    written
        Files, the one asked for first.
    text
        What was found, in words.
    """

    written: tuple[Path, ...]
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Shelf:
    """A folder of folders, each named by what its pieces follow from: another question never meets these pieces.

    Parameters
    ----------
    path
        Made when something is written. Several processes may share it.
    """

    path: Path

    def folder(self, about: Mapping[str, Any]) -> Path:
        """The folder of what these plain data say."""
        content = json.dumps(about, sort_keys=True).encode()
        return self.path / hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Output:
    """A file that is made of pieces, by one run or many, killed or not.

    As long as a run has not ended there is a folder beside the file, which holds the pieces unless they are kept
    elsewhere: a file beside which there is one may be written again.

    Parameters
    ----------
    path
        The file.
    cache
        Folder of pieces, kept; None for the one beside the file, which is removed in the end.
    """

    path: Path
    cache: Path | None = None

    @property
    def work(self) -> Path:
        """The folder beside the file."""
        return self.path.with_name(f"{self.path.name}.parts")

    @property
    def shelf(self) -> Shelf:
        """Where pieces go."""
        return Shelf(self.cache or self.work)

    def check(self, *, overwrite: bool = False) -> None:
        """Refuses a file that is there from a run that ended.

        Raises
        ------
        FileExistsError
            It is there, and may not be replaced.
        """
        if self.path.exists() and not overwrite and not self.work.exists():
            raise FileExistsError(
                f"The output must not be there yet; {self.path} is. Choose another name, or overwrite it (--overwrite, "
                "overwrite=True)."
            )

    def begin(self, *, overwrite: bool = False) -> None:
        """Makes the folder beside the file.

        Raises
        ------
        FileExistsError
            As `check`.
        """
        self.check(overwrite=overwrite)
        os.makedirs(self.work, exist_ok=True)

    def end(self) -> None:
        """Removes the folder beside the file: all is written."""
        shutil.rmtree(self.work, ignore_errors=True)


def write_card(path: Path, notes: Sequence[str], **about: Any) -> Path:
    """Path of the manifest beside a result, `x.json` of `x.tsv` and of `x.vcf.gz`: what it follows from, and `notes` on inputs."""
    card = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    with atomic_write(card, "w") as handle:
        json.dump({**about, "notes": list(notes)}, handle, indent=1)
        handle.write("\n")
    return card

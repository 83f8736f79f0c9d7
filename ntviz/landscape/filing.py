"""A landscape as a file: by one run or by many shards, killed at any moment, always the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import environment
from ntviz.environment import Finished, Output, Unfinished
from ntviz.genome import Interval
from ntviz.landscape.asking import ask
from ntviz.landscape.pieces import Folder
from ntviz.landscape.reconstructing import answer, assembled
from ntviz.landscape.result import TRACKS, Landscape
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference

if TYPE_CHECKING:
    from ntviz.annotation import Annotation

SUFFIXES = (".npz", ".bedgraph")


def reconstruct_file(
    out: str | os.PathLike[str],
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    shard: tuple[int, int] = (1, 1),
    cache: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    track: str = "probability",
    bin: int = 1,  # noqa: A002
    elements: Annotation | None = None,
    what: str | None = "reconstructing",
    notes: Sequence[str] = (),
    **options: Any,
) -> Finished | Unfinished:
    """Writes a landscape, and where elements are given its table by element.

    The interval is worked on in pieces, each kept as soon as it is done. A run that was killed goes on where it stopped,
    several shards may share the folder at once, and the bytes are those of one run. Memory does not grow with the
    interval but for the table.

    Parameters
    ----------
    out
        Where to: .npz for all arrays (`Landscape.load`), or .bedgraph for one track; 0-based half-open as bedGraph is.
    model, reference, interval
        As of `reconstruct`.
    shard
        (i, n) from 1: only every n-th piece is made, and nothing is written but pieces. When all shards are done, the
        run without a shard writes `out`. With (1, 1) everything is done at once.
    cache
        Folder of pieces, kept; None uses `out` + ".parts" and removes it in the end. Pieces are found by what they
        follow from (weights, bases, options), never by names.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    track, bin
        Of a bedGraph; see `Landscape.bedgraph`.
    elements
        Of `x.npz` and `x.bedgraph`, `x.elements.tsv` is then `by_element` over these, and `x.json` says what it follows from.
    what
        Name of the progress bar; None for none.
    notes
        Sentences on the inputs, put into `x.json`.
    options
        As of `reconstruct`.

    Raises
    ------
    ValueError
        `out` has another ending, there is no such track, the model does not say which weights it has, or as
        `reconstruct`.
    FileExistsError
        `out` is there, from a run that ended.
    """
    target = output(out, cache, track=track, bin=bin)
    environment.share(0, shard)
    if not model.info.get("weights_sha256"):
        raise ValueError(
            f"A model must say which weights it has for its pieces to be kept; info of {model.name} has no "
            "weights_sha256. Add it, or use landscape.reconstruct, which need not keep any."
        )
    question = ask(model, reference, interval, **options)
    target.begin(overwrite=overwrite)
    folder = Folder(target.shelf.folder(question.settings), question.settings)
    answer(model, reference, question, folder, shard=shard, what=what)
    if shard != (1, 1):
        left = folder.missing(question.pieces)
        total = len(question.pieces)
        return Unfinished(folder.path, total - len(left), total, tuple(left))
    finished = _written(assembled(question, folder), target.path, track, bin, elements, notes)
    target.end()
    return finished


def output(
    out: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    track: str = "probability",
    bin: int = 1,  # noqa: A002
) -> Output:
    """Where a landscape goes, by an ending that is known.

    Raises
    ------
    ValueError
        It is not, or there is no such track.
    """
    path = Path(out)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"A landscape must go to {' or '.join(SUFFIXES)}; received {path.name}. Rename it.")
    if track not in TRACKS or bin < 1:
        raise ValueError(
            f"A track must be one of {', '.join(TRACKS)}, in bins of at least 1 bp; received {track!r} in {bin}. Choose "
            "one of these."
        )
    return Output(path, None if cache is None else Path(cache))


def _written(
    found: Landscape,
    path: Path,
    track: str,
    size: int,
    elements: Annotation | None,
    notes: Sequence[str],
) -> Finished:
    # The arrays lie in the folder of pieces, which is about to go: nothing of them leaves this function.
    written = [path]
    if elements is not None:
        from ntviz.landscape.tabulating import by_element

        table = by_element(found, elements)
        written.append(path.with_suffix(".elements.tsv"))
        with environment.atomic_write(written[-1]) as handle:
            handle.write(table.to_csv(index=False, sep="\t").encode())
        about = {"model": found.model, "interval": found.interval.label(), "settings": found.settings}
        written.append(environment.write_card(path, notes, summary=repr(found), **about))
    # What was asked for comes last: where it is, all is.
    if path.suffix == ".npz":
        found.save(path)
    else:
        found.bedgraph(path, track, bin=size)
    return Finished(tuple(written), repr(found))

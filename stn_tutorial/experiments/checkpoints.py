"""Checkpoints: one safetensors file a run, written in one step.

The file holds the model, the optimizer's state and PyTorch's random state as tensors,
and the run's label and history as JSON in its header. Nothing in it is code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = ["read_checkpoint", "resume", "save_checkpoint"]

CHECKPOINT = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path,
    label: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict],
) -> None:
    """Write all that a run needs to go on into one file, in one step.

    Args:
        folder: of the run; it is made.
        label: what tells this run from others, ready for JSON.
        model: its parameters and buffers are kept.
        optimizer: its state is kept.
        history: of the epochs so far.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    tensors["random"] = torch.get_rng_state()
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {"label": json.dumps(label), "history": json.dumps(history)}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{CHECKPOINT}.{os.getpid()}.part"
    save_file(tensors, part, metadata)
    os.replace(part, folder / CHECKPOINT)


def resume(
    folder: Path,
    label: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> list[dict]:
    """Bring model and optimizer to where a checkpoint left them, if there is one.

    Args:
        folder: of the run.
        label: must be the checkpoint's.
        model: gets its parameters and buffers.
        optimizer: gets its state.

    Returns:
        The history of the epochs that are done; empty without a checkpoint.

    Raises:
        ValueError: if the checkpoint has another label, or is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return []
    metadata, tensors = _read(path)
    saved, label = json.loads(metadata["label"]), json.loads(json.dumps(label))
    if saved != label:
        raise ValueError(
            f"{folder} holds a run with other options ({_differences(saved, label)}); "
            "choose another folder, or the same options to resume it"
        )
    model.load_state_dict(_part(tensors, "model."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    # In another memory layout than its parameter's, a state is rounded differently.
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter).copy_(value)
    torch.set_rng_state(tensors["random"])
    return json.loads(metadata["history"])


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
    metadata, tensors = _read(path)
    return json.loads(metadata["label"]), _part(tensors, "model.")


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return file.metadata(), tensors
    except SafetensorError as error:
        raise ValueError(
            f"folder holds a damaged checkpoint, {path}: {error}"
        ) from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins so, without the beginning."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _differences(saved: dict[str, Any], now: dict[str, Any]) -> str:
    flat_saved, flat_now = (
        {**label, **label.get("recipe", {})} for label in (saved, now)
    )
    names = sorted(
        name
        for name in flat_saved.keys() | flat_now.keys()
        if name != "recipe" and flat_saved.get(name) != flat_now.get(name)
    )
    return ", ".join(names)

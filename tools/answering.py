"""What crosses between a student's kernel and the referee: data, never code.

The referee holds the answers, the cases and the references, and runs none of a
student's code. The kernel runs that code, and is sent the arguments of one call after
the other. Both sides write and read values as JSON, tensors as their bytes: reading
them runs nothing, as reading a pickle would. The kernel gets this file's source with
every call, so that no cell can have replaced it.
"""

import base64
import json

import torch

#: The type under which a kernel publishes its answer.
MIME = "application/vnd.stn-tutorial.answer"
TYPES = {
    str(kind): kind
    for kind in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    )
}


def encode(value):
    """Return a value as JSON can hold it.

    >>> encode((1, "a"))
    {'tuple': [1, 'a']}

    Args:
        value: None, a truth value, a number, a string or a tensor; or a list, a tuple
            or a dict of such.

    Raises:
        TypeError: for anything else.
    """
    if value is ...:
        return {"open": True}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [encode(each) for each in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(each)] for key, each in value.items()]}
    if hasattr(value, "__array__") and not isinstance(value, torch.Tensor):
        value = torch.as_tensor(value)  # of NumPy, its numbers too
    if not isinstance(value, torch.Tensor) or str(value.dtype) not in TYPES:
        raise TypeError(
            f"{type(value).__name__} is neither a tensor, a number nor text"
        )
    tensor = value.detach().cpu().contiguous().reshape(-1)
    data = tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    text = base64.b64encode(data).decode()
    return {"tensor": [str(value.dtype), list(value.shape), text]}


def decode(value):
    """Return what `encode` was given.

    >>> decode(encode({"x": torch.ones(2)}))
    {'x': tensor([1., 1.])}

    Raises:
        ValueError: if that is not what `encode` returns.
    """
    if not isinstance(value, (dict, list)):
        return value
    if isinstance(value, list):
        return [decode(each) for each in value]
    try:
        ((kind, held),) = value.items()
        if kind == "open":
            return ...
        if kind == "tuple":
            return tuple(decode(each) for each in held)
        if kind == "dict":
            return {decode(key): decode(each) for key, each in held}
        dtype, shape, text = held
        data = bytearray(base64.b64decode(text))
        if not data:
            return torch.empty(shape, dtype=TYPES[dtype])
        return torch.frombuffer(data, dtype=TYPES[dtype]).reshape(shape)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"not a value that was sent: {error}") from None


def answer(namespace, request):
    """Look a name up, call it if arguments came with it, and return the outcome.

    Args:
        namespace: of the notebook.
        request: JSON: the name, and of a call its arguments.

    Returns:
        JSON: ``value``, or ``callable``, or the ``error``.
    """
    request = json.loads(request)
    name = request["name"]
    try:
        if name not in namespace:
            return json.dumps({"error": f"{name} is not defined"})
        found = namespace[name]
        if "arguments" not in request:
            if callable(found):
                return json.dumps({"callable": True})
            return json.dumps({"value": encode(found)})
        arguments = decode(request["arguments"])
        try:
            got = found(*arguments)
        except BaseException as error:  # a call may end in SystemExit as well
            text = f"{type(error).__name__}: {error}"
            return json.dumps({"error": f"it raised {text[:500]}"})
        return json.dumps({"value": encode(got)})
    except Exception as error:
        return json.dumps({"error": str(error)[:500]})

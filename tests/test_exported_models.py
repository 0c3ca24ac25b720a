"""The models that run in a page are the trained ones, operation for operation."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial.course.explore import painter, playground
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.data.not_so_clevr import all_locations
from stn_tutorial.experiments.distorted_digits import load_model
from stn_tutorial.experiments.models import Steps, TransformedClassifier
from stn_tutorial.experiments.not_so_clevr import load_network
from stn_tutorial.experiments.results import results_folder

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", playground.RUNS)
def test_a_playgrounds_model_is_that_of_its_checkpoint(name):
    folder = results_folder() / playground.RUNS[name]
    config, model = load_model(folder)
    if isinstance(model, TransformedClassifier):
        model = Steps(model)
    path = folder / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    digits = load_digits("test", "embedded").images
    images = fixed_test_set(digits, config.distortion).images
    with torch.inference_mode():
        expected = model(images)
    if isinstance(expected, torch.Tensor):
        expected = (expected,)
    got = session.run(None, {"images": images.numpy()})
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", painter.RUNS)
def test_a_painters_model_is_that_of_its_checkpoint(name):
    folder = results_folder() / painter.RUNS[name]
    _, network = load_network(folder)
    path = folder / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    points = all_locations().points()[::50]
    with torch.inference_mode():
        expected = network(points)
    (scores,) = session.run(["scores"], {"points": points.numpy()})
    # Scores are of some thousand units, where they are sure.
    close = {"rtol": 1e-4, "atol": 1e-3}
    torch.testing.assert_close(torch.from_numpy(scores), expected, **close)


def test_the_playgrounds_digits_are_mnists(real_mnist):
    digits = load_digits("test", "mnist")
    images, labels = playground.few_digits()
    for k in range(20):
        of_class = (digits.labels == labels[k]).nonzero().flatten()
        torch.testing.assert_close(images[k], digits.images[of_class[k // 10]])

"""The command line as a user calls it: with a network or not, one process or two."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
import torch
from command_line import call
from PIL import Image

from stn_tutorial import commands as cli
from stn_tutorial.data.archives import ARCHIVES, DataError
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments import not_so_clevr, scattered_digits
from stn_tutorial.experiments.checkpoints import read_checkpoint
from stn_tutorial.experiments.distorted_digits import Config, load_model
from stn_tutorial.experiments.own_pictures import Config as OwnConfig
from stn_tutorial.experiments.sharing import FailedRuns, work
from stn_tutorial.experiments.training import Recipe

NOTICE = "scikit-learn's 1,797 digits are used instead"
TRAIN = "train --model st-cnn --distortion R --epochs 1 --limit 512".split()
pytestmark = pytest.mark.usefixtures("one_core")


def python(
    *arguments: str, cwd: Path, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess:
    """Run Python in a folder that holds the cache, too, as on a fresh machine.

    That there is no network is conftest's doing.
    """
    own = {
        "STN_TUTORIAL_DATA": str(cwd / "cache"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    environment = {**os.environ, **own}
    environment.pop("ACCELERATE_USE_CPU")  # a user has not set it
    return subprocess.run(
        [sys.executable, *launcher, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_a_fresh_machine_without_network_trains_on_embedded_digits(tmp_path):
    result = python("-m", "stn_tutorial", *TRAIN, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    notice, epoch, summary = result.stdout.splitlines()
    assert NOTICE in notice and "train-images-idx3-ubyte.gz" in notice
    assert re.fullmatch(r"epoch +1: loss .*, train .*%, test .*%, .* s", epoch)
    folder = Path("runs", "st-cnn-R-affine-0")
    assert re.fullmatch(
        rf"test error \d+\.\d\d% with \d+ parameters on embedded; kept in {folder}",
        summary,
    )
    assert NOTICE not in result.stderr and "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    stored = json.loads((tmp_path / folder / "result.json").read_text())
    assert stored["data"]["train"]["digits"] == 512
    assert stored["config"]["recipe"]["epochs"] == len(stored["history"]) == 1
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_with_a_mirror_it_trains_on_mnist(real_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "cache"))
    options = "--model fcn --distortion none --budget 20000 --epochs 1 --limit 512"
    assert call("train", *options.split()) == 0
    assert "parameters on mnist; kept in" in capsys.readouterr().out
    result = tmp_path / "runs" / "fcn-none-0" / "result.json"
    data = json.loads(result.read_text())["data"]
    assert data["source"] == "mnist"
    assert (data["train"]["digits"], data["test"]["digits"]) == (512, 10_000)
    names = {path.name for path in (tmp_path / "cache" / "MNIST" / "raw").iterdir()}
    assert names == set(ARCHIVES)


RANKED = """
import json, os
from pathlib import Path
from stn_tutorial import commands as cli
from stn_tutorial.experiments import distorted_digits

def run(*arguments):
    done = train(*arguments)
    sums = {name: value.double().sum().item() for name, value
            in done.model.state_dict().items()}
    report = {"sums": sums, "result": done.result}
    Path(f"rank{os.environ['RANK']}.json").write_text(json.dumps(report))
    return done

train, distorted_digits.run = distorted_digits.run, run
cli.main()
"""


def test_two_processes_under_torchrun_train_one_model(tmp_path):
    (tmp_path / "ranked.py").write_text(RANKED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = "-m torch.distributed.run --nproc_per_node 2 --master_addr 127.0.0.1"
    launcher = (*torchrun.split(), "--master_port", str(port))
    result = python("ranked.py", *TRAIN, cwd=tmp_path, launcher=launcher)
    assert result.returncode == 0, result.stderr
    notice, epoch, summary = result.stdout.splitlines()
    assert NOTICE in notice and summary.startswith("test error ")
    ranks = [json.loads((tmp_path / f"rank{k}.json").read_text()) for k in (0, 1)]
    assert ranks[0]["sums"] == ranks[1]["sums"]
    first = ranks[0]["result"]
    for entry in (rank["result"] for rank in ranks):
        assert entry["processes"] == 2
        assert entry["test_error"] == first["test_error"]
        assert entry["history"][0]["loss"] == first["history"][0]["loss"]
    folder = tmp_path / "runs" / "st-cnn-R-affine-0"
    names = {path.name for path in folder.iterdir()}
    assert names == {"checkpoint.safetensors", "result.json"}
    _, weights = read_checkpoint(folder)
    sums = {name: value.double().sum().item() for name, value in weights.items()}
    assert sums == ranks[0]["sums"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run that is hardly trained, but whose transformer has left the identity."""
    folder = tmp_path_factory.mktemp("trained")
    options = "--data embedded --model st-cnn --budget 60000 --distortion RTS --lr 0.01"
    command = f"train {options} --limit 256 --batch-size 32 --epochs 2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        assert call(*command.split(), "--folder", str(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run of a network without a transformer."""
    folder = tmp_path_factory.mktemp("plain")
    options = "--data embedded --model cnn --limit 8 --epochs 1".split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        assert call("train", *options, "--folder", str(folder)) == 0
    return folder


def test_the_run_is_named_after_its_options(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = "--data embedded --limit 8 --epochs 1 --seed 3 --distortion E".split()
    assert call("train", "--model", "fcn", *options) == 0
    folder = Path("runs", "fcn-E-3")
    assert capsys.readouterr().out.endswith(f"; kept in {folder}\n")
    assert (folder / "result.json").exists()


def test_the_same_command_resumes_and_another_is_refused(trained, capsys):
    config, _ = load_model(trained)
    options = ["--data", "embedded", "--folder", str(trained)]
    for name in ("model", "budget", "distortion", "limit"):
        options += [f"--{name}", str(getattr(config, name))]
    options += "--lr 0.01 --batch-size 32 --epochs 2".split()
    assert call("train", *options) == 0
    assert "kept in" in capsys.readouterr().out
    assert call("train", *options[:-1], "3") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"error: {trained} holds a run with other options (epochs);")


def test_evaluate_prints_the_error_of_the_result(trained, capsys):
    assert call("evaluate", str(trained)) == 0
    stored = json.loads((trained / "result.json").read_text())
    assert capsys.readouterr().out == f"test error {stored['test_error']:.2f}%\n"


def test_export_writes_one_file_that_onnx_runtime_reads(plain, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    assert call("export", str(plain), "--to", str(path)) == 0
    assert f"wrote {path}\n" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]  # the weights are in it
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["images"]
    assert [each.name for each in session.get_outputs()] == ["scores"]
    config, model = load_model(plain)
    digits = load_digits("test", "embedded").images
    images = fixed_test_set(digits, config.distortion).images
    for batch in (images[:1], images[:7], images):
        (scores,) = session.run(["scores"], {"images": batch.numpy()})
        with torch.inference_mode():
            expected = model(batch)
        got = torch.from_numpy(scores)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_export_writes_all_that_a_transformer_computes(trained, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    assert call("export", str(trained), "--to", str(path), "--steps") == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert names == ["scores", "theta", "warped"]
    _, model = load_model(trained)
    images = fixed_test_set(load_digits("test", "embedded").images, "RTS").images
    for batch in (images[:1], images[:7], images):
        with torch.inference_mode():
            theta = model.transformer.params(batch)
            expected = model(batch), theta, model.transformer.warp(batch, theta)
        for one, other in zip(session.run(names, {"images": batch.numpy()}), expected):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=0, atol=1e-4)
    # Where the lines of code stand on this machine is nobody's business.
    assert str(Path(__file__).parents[1]).encode() not in path.read_bytes()


def test_export_takes_a_network_of_coordconvs_tasks(tmp_path, capsys):
    cell = not_so_clevr.Cell("rendering", "quadrant", "coordconv")
    not_so_clevr.solve(cell, tmp_path, every=64, epochs=1)
    path = tmp_path / "model.onnx"
    assert call("export", str(tmp_path), "--to", str(path)) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    points = torch.rand(3, 2)
    (scores,) = session.run(["scores"], {"points": points.numpy()})
    with torch.inference_mode():
        expected = not_so_clevr.load_network(tmp_path)[1](points)
    torch.testing.assert_close(torch.from_numpy(scores), expected, rtol=0, atol=1e-4)
    capsys.readouterr()
    assert call("export", str(tmp_path), "--steps") == 2
    assert "holds a coordconv: no transformer" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 7])
def test_show_draws_the_digits_and_what_becomes_of_them(
    trained, tmp_path, capsys, count
):
    path = tmp_path / "show.png"
    arguments = ["--to", str(path), "--count", str(count)]
    assert call("show", str(trained), *arguments) == 0
    assert f"wrote {path}: digits as they come (top)" in capsys.readouterr().out
    width, height = Image.open(path).size
    assert width > 0.4 * count * height / 2  # two rows of about square pictures


def test_export_needs_two_packages(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stn_tutorial.commands.find_spec", lambda name: None)
    assert call("export", str(trained), "--to", str(tmp_path / "model.onnx")) == 2
    assert "pip install onnx onnxscript" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_show_refuses_what_it_cant_show(trained, plain, capsys):
    assert call("show", str(trained), "--count", "0") == 2
    assert capsys.readouterr().err == "error: count must be from 1 to 40, got 0\n"
    for command in (["show", str(plain)], ["export", str(plain), "--steps"]):
        assert call(*command) == 2
        said = capsys.readouterr().err
        assert said == f"error: {plain} holds a cnn: no transformer\n"


def test_data_verifies_embedded_digits(capsys):
    assert call("data", "--source", "embedded") == 0
    train, test = capsys.readouterr().out.splitlines()
    assert train.startswith("train: 1437 digits, SHA-256 ")
    checksum = load_digits("test", "embedded").checksum
    assert test == f"test: 360 digits, SHA-256 {checksum[:16]}…"


def test_data_fetches_and_verifies_mnist(real_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path))
    assert call("data") == 0
    out = capsys.readouterr().out
    assert all(f"{name}: verified\n" in out for name in ARCHIVES)
    assert f"kept in {tmp_path}\ntrain: 60000 digits" in out


def test_data_that_cant_be_had_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path))
    monkeypatch.setattr("stn_tutorial.data.archives.MIRRORS", ["http://127.0.0.1:9/"])
    assert call("data") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("error: train-images-idx3-ubyte.gz can't be had (http://127")


MISSING = Path("nowhere", "checkpoint.safetensors")
#: What is said of a wrong command line; tyro puts a frame around it, and breaks lines.
WRONG = {
    "train --modle cnn": "Unrecognized options: --modle, cnn",
    "train --model vgg": "invalid choice 'vgg' for argument '--model'.",
    "train --epochs many": "--epochs: invalid literal for int() with base 10: 'many'",
    "train --epochs 0": "epochs must be an integer >= 1, got 0",
    "train --limit -1": "limit must be an integer >= 0, got -1",
    "train --data embedded --validation 1437": "validation must be from 0 to 1436",
    "train --lr inf": "lr must be a finite number > 0, got inf",
    "train --lr": "Missing value for argument '--lr'.",
    "train stray": "Unrecognized options: stray",
    "evaluate": "Missing from python -m stn_tutorial evaluate: PATH",
    "evaluate nowhere": f"folder must hold a checkpoint: there is no {MISSING}",
    "export nowhere --to x": f"folder must hold a checkpoint: there is no {MISSING}",
    "data --source cifar": "invalid choice 'cifar' for argument '--source'.",
    "report coordconv_stn": "invalid choice 'coordconv_stn'",
    "trian": "Unrecognized options: trian",
    "": "Expected one of {train, evaluate, export, show, data, table, clutter, "
    "coordconv, coordconv-stn, addition, strings, colocalization, volumes, "
    "successors, signs, birds, recordings, report}.",
    "train --data embedded --budget 10": "budget of 10 is out of reach for st-cnn: "
    "the closest has 17478 parameters",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_command_line_exits_with_2_and_says_what_is_wrong(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and "tyro" not in err
    assert WRONG[arguments] in without_frame(err)


def without_frame(text: str) -> str:
    """What tyro says, without its frames and line breaks."""
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", text).split())


def test_a_file_that_cant_be_written_gets_one_line(trained, tmp_path, capsys):
    path = tmp_path / "missing" / "show.png"
    assert call("show", str(trained), "--to", str(path)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(path) in err


def helped(*command: str, capsys) -> str:
    assert call(*command, "--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    return without_frame(out)


def attributes(kind: type) -> dict[str, str]:
    """What a dataclass's docstring says of each attribute."""
    entries = re.findall(r"^    (\w+): ((?:.|\n     )+)", inspect.getdoc(kind), re.M)
    return {name: " ".join(text.split()) for name, text in entries}


@pytest.mark.parametrize("kind", [Config, Recipe, OwnConfig])
def test_every_option_of_train_is_explained(kind, capsys):
    folder = ["--data=my pictures"] if kind is OwnConfig else []
    text = helped("train", *folder, capsys=capsys)
    explained = attributes(kind)
    for entry in dataclasses.fields(kind):
        if entry.name == "recipe":
            continue
        option = f"--{entry.name.replace('_', '-')} "
        if isinstance(entry.default, bool):  # a switch: --on, --no-on
            option = f"{option[:-1]}, {option.replace('--', '--no-')}"
        assert text.count(f" {option}") == 1
        after = text.split(f" {option}")[1]
        words, default = explained[entry.name], f"(default: {entry.default})"
        assert words in after[: after.index(default)]
        assert after.index(default) < len(words) + 120
    assert "--folder" in text and "Where checkpoint and result are kept" in text


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("evaluate", ["PATH"]),
        ("export", ["PATH", "--to PATH"]),
        ("show", ["PATH", "--count INT", "--json, --no-json"]),
        ("data", ["--source {mnist,embedded}", "--export {None}|PATH", "--copies INT"]),
    ],
)
def test_every_other_option_is_explained(command, options, capsys):
    text = helped(command, capsys=capsys)
    for option in options:
        assert re.search(rf"{re.escape(option)} [A-Z]", text), option


def test_help_lists_the_commands_and_what_they_do(capsys):
    text = helped(capsys=capsys)
    for kind in (cli.Train, cli.Evaluate, cli.Export, cli.Show, cli.Data):
        assert f"{kind.__name__.lower()} {' '.join(kind.__doc__.split())}" in text


# ----------------------------------------------------------------------------- endings


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "stopped; to go on: python -m stn_tutorial data"),
        (ValueError("no such\nthing"), 2, "error: no such thing"),
        (FileNotFoundError("there is no x"), 2, "error: there is no x"),
        (OSError(28, "No space left"), 1, "error: [Errno 28] No space left"),
        (DataError("no mirror"), 1, "error: no mirror"),
        (FailedRuns("1 of 2 failed: a-0"), 1, "error: 1 of 2 failed: a-0"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    monkeypatch, capsys, error, code, line
):
    def run(self):
        raise error

    monkeypatch.setattr(cli.Data, "run", run)
    assert call("data") == code
    assert capsys.readouterr() == ("", f"{line}\n")
    monkeypatch.setenv("RANK", "1")  # of the processes of torchrun, the first speaks
    assert call("data") == code
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_the_program_is_not_told_as_the_users(monkeypatch):
    def run(self):
        raise AttributeError("a fault")

    monkeypatch.setattr(cli.Data, "run", run)
    with pytest.raises(AttributeError):
        call("data")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("command", ["report", "train --help"])
def test_a_reader_that_has_enough_is_no_error(tmp_path, monkeypatch, command):
    """As in `report | head`: the pipe's other end is closed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert call(*command.split()) == 141


# ------------------------------------------------------------------------- experiments


def test_boxes_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = "coordconv --quick --tasks detection --seeds 0".split()
    assert call(*command, "--list") == 0
    out = capsys.readouterr().out
    assert out.count("missing: ") == 4 and out.endswith("\n0 done, 4 missing\n")
    assert "missing: canvas-coordconv-0\n" in out
    assert call(*command) == 0
    assert capsys.readouterr().out.endswith("\n4 done, 0 missing\n")
    assert call(*command, "--list") == 0
    assert capsys.readouterr().out == "4 done, 0 missing\n"
    folder = str(Path("runs") / "quick-coordconv" / "results")
    assert call("report", "coordconv", "--folder", folder) == 0
    assert "\n| canvas | coordconv | " in capsys.readouterr().out


def test_other_folders_are_done_when_a_run_of_one_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = []

    def work(cells, where, runs, **options):
        done.append(where.name)
        if where.name == "validation":
            raise FailedRuns("1 of 1 failed: a")

    monkeypatch.setattr("stn_tutorial.experiments.sharing.work", work)
    command = "signs --quick --arms cnn --phases frames final --seeds 0".split()
    assert call(*command) != 0
    assert done == ["validation", "results"]
    out, err = capsys.readouterr()
    assert "0 done, 2 missing" in out and "1 of 1 failed: a" in err


def test_export_of_boxes_is_refused_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    boxes = scattered_digits.Cell("canvas", "coordconv")
    boxes.measure(run, progress=False, quick=True)
    assert call("export", str(run)) == 2
    assert "is of no run of CoordConv's tasks" in capsys.readouterr().err


def test_a_task_in_miniature(tmp_path, capsys):
    cell = not_so_clevr.Cell("regression", "quadrant", "convolution")
    work([cell], tmp_path, tmp_path / "runs", quick=True)
    out, err = capsys.readouterr()
    assert out.startswith(f"{cell.name}: ") and "1/1" in err
    figures = tmp_path / "figures"
    options = "--folder", str(tmp_path), "--figures", str(figures)
    assert call("report", "coordconv", *options) == 0
    out = capsys.readouterr().out
    assert "\nregression\n" in out and "\n| quadrant | convolution | " in out
    assert [path.name for path in figures.iterdir()] == ["learning.png"]


def test_coordinates_in_transformers_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--columns R --arrangements plain first --seeds 0".split()
    assert call("coordconv-stn", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n2 done, 0 missing\n")
    folder = str(Path("runs") / "quick-coordconv-stn" / "results")
    options = "--folder", folder, "--figures", "figures"
    assert call("report", "coordconv-stn", *options) == 0
    out = capsys.readouterr().out
    for start in ("first", "R", "R | (as they come)"):  # errors, differences, poses
        assert f"\n| {start} |" in out
    names = {path.name for path in Path("figures").iterdir()}
    assert names == {"differences.png", "convergence.png"}


def test_a_command_that_is_told_to_end_leaves_no_part_of_a_file(tmp_path):
    export = ["data", "--source", "embedded", "--copies", "100000", "--export", "x.npz"]
    command = [sys.executable, "-m", "stn_tutorial", *export]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(tmp_path.glob("*.part")):
            time.sleep(0.05)
        process.terminate()
    assert process.returncode == 143
    assert not list(tmp_path.iterdir())

"""Anyone's classifier: what its file says of colours, names and outputs is heeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latentedit.attributes import ATTRIBUTES
from latentedit.errors import LatentEditError
from latentedit.evaluation.classifiers.onnx_judge import OnnxJudge

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def write(
    path: Path, count: int = 2, *, shape: tuple[int | str, ...] = ("N", 3, 8, 8), **said: str
) -> Path:
    """Outputs are multiples (1, 2, ...) of the mean red."""
    helper = onnx.helper
    weight = np.zeros((3, count), np.float32)
    weight[0] = np.arange(1, count + 1)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ],
        "judge",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ("N", count))],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, said)
    onnx.save(model, str(path))
    return path


def red(value: int) -> np.ndarray:
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[..., 0] = value
    return picture


def test_logits_become_probabilities(tmp_path: Path) -> None:
    judge = OnnxJudge(write(tmp_path / "j.onnx", attributes="young,Freckles"))
    assert judge.attributes == ("Young", "Freckles")
    wanted = 1 / (1 + np.exp(-np.array([1.0, 2.0])))  # red 255 is 1 in [-1, 1]
    np.testing.assert_allclose(judge(red(255)), wanted[None], atol=1e-6)
    assert judge(np.concatenate((red(0), red(255)))).shape == (2, 2)


def test_colours_and_kind_of_outputs_are_those_that_the_file_says(tmp_path: Path) -> None:
    plain = {"mean": "0,0,0", "std": "1,1,1"}
    as_said = OnnxJudge(write(tmp_path / "a.onnx", 1, outputs="logits", **plain))
    np.testing.assert_allclose(as_said(red(51)), [[1 / (1 + np.exp(-0.2))]], atol=1e-6)
    by_trial = OnnxJudge(write(tmp_path / "b.onnx", 1, **plain))
    np.testing.assert_allclose(by_trial(red(51)), [[0.2]], atol=1e-6)
    assert as_said.hash != by_trial.hash


def test_forty_outputs_are_celebas(tmp_path: Path) -> None:
    assert OnnxJudge(write(tmp_path / "j.onnx", 40)).attributes == ATTRIBUTES
    assert OnnxJudge(write(tmp_path / "k.onnx", 2)).attributes == ("output 1", "output 2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": ("N", 1, 8, 8)},
        {"shape": ("N", 3, 8, 9)},
        {"shape": ("N", 3)},
        {"mean": "1,2"},
        {"std": "a,b,c"},
        {"std": "0,1,1"},
        {"outputs": "scores"},
        {"attributes": "one"},
    ],
)
def test_what_is_no_judge_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    path = write(tmp_path / "j.onnx", **wrong)  # type: ignore[arg-type]
    with pytest.raises(LatentEditError, match="cannot be a judge"):
        OnnxJudge(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "j.onnx").write_bytes(b"nothing")
    for name in ("j.onnx", "missing.onnx"):
        with pytest.raises(LatentEditError):
            OnnxJudge(tmp_path / name)

"""mmdet from wheels alone. What must hold before the stub is there is shown in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from selfe_eval.score.detectors.mmdet_stub import import_mmdet

MAX_IOU = 0.41421
"""No quotient of two areas in these tests, so rounding cannot decide."""

BUILD = """
import warnings
warnings.simplefilter("ignore")
from mmdet.registry import MODELS
import mmdet.models
print(MODELS.get("Mask2Former").__name__)
"""


def _python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, timeout=1200
    )


def test_mmdet_needs_the_stub() -> None:
    """With mmcv-lite alone mmdet's models cannot be imported: the operators are what is missing."""
    ended = _python(BUILD)
    assert ended.returncode != 0
    assert "No module named 'mmcv._ext'" in ended.stderr


def test_the_stub_lets_mmdet_be_imported_in_silence() -> None:
    """After ``import_mmdet`` the same code runs, and importing warns of nothing (warnings are errors here)."""
    code = "from selfe_eval.score.detectors.mmdet_stub import import_mmdet\nimport_mmdet()\n" + BUILD
    ended = _python(code, "-W", "error")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "Mask2Former\n"
    assert ended.stderr == ""


def test_a_missing_package_says_what_to_install() -> None:
    """Without mmcv the error is ours and names the extra and the backend that needs no mmdet."""
    code = (
        "import sys\nsys.modules['mmcv'] = None\n"
        "from selfe_eval.errors import UsageError\n"
        "from selfe_eval.score.detectors.mmdet_stub import import_mmdet\n"
        "try:\n    import_mmdet()\nexcept UsageError as error:\n    print(error)\n"
    )
    ended = _python(code)
    assert "pip install 'selfe-eval[mmdet]'" in ended.stdout, ended.stderr
    assert "--detector transformers" in ended.stdout


def test_importing_twice_is_importing_once() -> None:
    """The second call finds the stub of the first and still calls it a stub."""
    first = import_mmdet()
    operators = sys.modules["mmcv._ext"]
    assert import_mmdet() == first
    assert sys.modules["mmcv._ext"] is operators
    assert first["mmcv_operators"] == "stub"
    assert first["mmdet"] == "3.3.0"


def test_deformable_attention_is_plain_pytorch() -> None:
    """The switch to mmcv's CUDA kernel is turned off, also where mmcv found CUDA and turned it on."""
    import_mmdet()
    attention = sys.modules["mmcv.ops.multi_scale_deform_attn"]
    attention.IS_CUDA_AVAILABLE = True  # type: ignore[attr-defined]
    import_mmdet()
    assert attention.IS_CUDA_AVAILABLE is False


def test_another_operator_is_an_error_with_its_name() -> None:
    """An operator that is not there can be imported, as mmcv does with all of them, and not called."""
    import_mmdet()
    from mmcv.ops import roi_align

    with pytest.raises(NotImplementedError, match="'roi_align_forward'"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2))


def test_the_stub_pretends_to_no_dunder_names() -> None:
    """Python's own questions (a path, a file) get the answer that there is none."""
    import_mmdet()
    assert not hasattr(sys.modules["mmcv._ext"], "__path__")


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("num_boxes", [0, 1, 200])
def test_nms_keeps_what_the_definition_keeps(num_boxes: int, offset: int) -> None:
    """Over the stub ``mmcv.ops.nms`` suppresses greedily by IoU, best first, with inclusive edges at offset 1."""
    import_mmdet()
    from mmcv.ops import nms

    generator = torch.Generator().manual_seed(num_boxes)
    corners = torch.randint(0, 60, (num_boxes, 2), generator=generator).float()
    sizes = torch.randint(1, 30, (num_boxes, 2), generator=generator).float()
    boxes = torch.cat([corners, corners + sizes], dim=1)
    scores = torch.rand(num_boxes, generator=generator)
    _, kept = nms(boxes, scores, iou_threshold=MAX_IOU, offset=offset)
    assert kept.tolist() == _greedy(boxes.tolist(), scores.tolist(), offset)


def _greedy(boxes: list[list[float]], scores: list[float], offset: int) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if all(_iou(boxes[index], boxes[other], offset) <= MAX_IOU for other in kept):
            kept.append(index)
    return kept


def _iou(a: list[float], b: list[float], offset: int) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + offset, 0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)

"""Detectors of the user's own: fakes with known answers, then small real ones against mmdet's own inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mmdet_mask2former import CONFIG
from selfe_eval.score.detectors.mmdet_own import OwnMmdetDetector, load
from selfe_eval.score.detectors.mmdet_stub import build_model, import_mmdet, without_known_warnings
from selfe_eval.score.detectors.protocol import Detections, RgbImages
from selfe_eval.score.detectors.registry import load_detector
from tests.unit.score.detectors.small_mask2former import random_tensors, small_config

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
BOXES = "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"


class Known(nn.Module):
    """Finds the same things in every image, whatever it shows."""

    def __init__(self, **found: Tensor) -> None:
        super().__init__()
        self.found = found
        self.seen: list[NDArray[np.uint8]] = []

    def pipeline(self, data: dict[str, Any]) -> dict[str, Any]:
        """Stands for mmdet's test pipeline and keeps what it was given."""
        self.seen.append(data["img"])
        return {"inputs": torch.zeros(3, 8, 8), "data_samples": None}

    def test_step(self, _batch: Any) -> list[Any]:  # noqa: PT019 (mmdet's name, no test)
        """The known answer."""
        import_mmdet()
        from mmdet.structures import DetDataSample
        from mmengine.structures import InstanceData

        return [DetDataSample(pred_instances=InstanceData(**self.found)) if self.found else DetDataSample()]


class Uncompiled(Known):
    """Calls an operator that only a compiled mmcv has."""

    def test_step(self, _batch: Any) -> list[Any]:  # noqa: PT019 (mmdet's name, no test)
        """No answer."""
        import_mmdet()
        from mmcv.ops import roi_align

        return [roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2))]


def _known(boxes: list[list[float]], **found: Tensor) -> Known:
    scores = torch.tensor([0.875, 0.5, 0.125])[: len(boxes)]
    return Known(bboxes=torch.tensor(boxes), scores=scores, labels=torch.arange(len(boxes)), **found)


def _detect(model: Known, pixels: NDArray[np.uint8] | None = None, *, floor: float = 0.0) -> Detections:
    detector = OwnMmdetDetector(model, model.pipeline, device="cpu", record={})
    image = np.zeros((20, 30, 3), np.uint8) if pixels is None else pixels
    (found,) = detector.detect(RgbImages(pixels=image[None]), floor=floor)
    return found


def test_boxes_become_whole_pixels_inside_the_image() -> None:
    """Edges are rounded, halves to even, and cut at the border; right and bottom stay exclusive."""
    found = _detect(_known([[1.4, 2.6, 7.5, 8.5], [-3.0, -1.0, 40.0, 5.2]]))
    assert found.boxes.tolist() == [[1, 3, 8, 8], [0, 0, 30, 5]]


def test_without_masks_the_boxes_are_filled() -> None:
    """The mask of a box-only detection is its box, no more and no less."""
    found = _detect(_known([[2.0, 3.0, 7.0, 9.0]]))
    assert found.masks.shape == (1, 20, 30)
    assert int(found.masks[0, 3:9, 2:7].sum()) == int(found.masks.sum()) == 30


def test_masks_of_the_detector_are_kept() -> None:
    """A detector's own masks stay with their objects also where another object is dropped."""
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[1, 4, 5] = True
    found = _detect(_known([[3.1, 3.1, 3.2, 3.2], [2.0, 3.0, 7.0, 9.0]], masks=masks))
    assert found.class_index.tolist() == [1]
    assert np.argwhere(found.masks[0]).tolist() == [[4, 5]]


def test_a_box_without_a_pixel_is_no_object() -> None:
    """Boxes that round to nothing or lie outside are dropped: there is no crop to judge."""
    found = _detect(_known([[3.1, 3.1, 3.2, 9.0], [31.0, 2.0, 40.0, 9.0], [0.0, 0.0, 1.0, 1.0]]))
    assert found.class_index.tolist() == [2]


def test_the_floor_leaves_out_what_scores_at_most_that() -> None:
    """Scores of 0.875, 0.5 and 0.125 and a floor of 0.5 leave one; a floor of 0 leaves all."""
    model = _known([[0.0, 0.0, 5.0, 5.0]] * 3)
    assert _detect(model, floor=0.5).class_index.tolist() == [0]
    assert _detect(model).class_index.tolist() == [0, 1, 2]


def test_nothing_found_keeps_the_shapes() -> None:
    """No detections give empty arrays of the promised shapes."""
    found = _detect(Known(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long()))
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 20, 30)


def test_the_pipeline_gets_blue_first() -> None:
    """Our images are RGB, mmdet's arrays BGR: a red image arrives with its last channel on."""
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 200
    model = _known([[0.0, 0.0, 5.0, 5.0]])
    _detect(model, red)
    assert model.seen[0][0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Known(), "instance_on=False"),
        (
            Known(bboxes=torch.zeros(1, 4), scores=torch.ones(1), labels=torch.tensor([80])),
            "predicts class 80",
        ),
        (Uncompiled(), "compiled operator 'roi_align_forward'"),
    ],
)
def test_a_detector_that_is_of_no_use_says_why(model: Known, complaint: str) -> None:
    """No instances, a class beyond COCO's 80, or a missing operator is an error of ours."""
    with pytest.raises(UsageError, match=complaint):
        _detect(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration and weights of a small Mask2Former (masks) and of RTMDet-tiny (boxes only)."""
    import_mmdet()
    from mmengine.config import Config

    folder = tmp_path_factory.mktemp("own")
    settings = Config.fromfile(CONFIGS.parent.parent / CONFIG)
    settings.model = small_config()
    settings.test_dataloader.dataset.pipeline[1].scale = (160, 96)
    settings.dump(folder / "masks.py")
    torch.save({"meta": {}, "state_dict": random_tensors(settings.model)}, folder / "masks.pth")
    (folder / "boxes.py").write_text(
        f"_base_ = {str(CONFIGS / BOXES)!r}\nmodel = dict(test_cfg=dict(nms_pre=300))\n", encoding="utf-8"
    )
    boxes = Config.fromfile(folder / "boxes.py")
    torch.manual_seed(0)
    torch.save(build_model(boxes.model).state_dict(), folder / "boxes.pth")
    return folder


def _picture() -> NDArray[np.uint8]:
    patches = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    patches[..., 2] //= 3
    return np.asarray(Image.fromarray(patches).resize((90, 60), Image.Resampling.BICUBIC))


def _inferred(folder: Path, name: str) -> Any:
    """What mmdet infers from the picture's file with the same configuration and weights."""
    from mmdet.apis import inference_detector
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    settings = Config.fromfile(folder / f"{name}.py")
    model: Any = build_model(settings.model).eval()
    document = torch.load(folder / f"{name}.pth", weights_only=True)
    model.load_state_dict(document.get("state_dict", document))
    model.cfg = settings
    Image.fromarray(_picture()).save(folder / "picture.png")
    with without_known_warnings(), DefaultScope.overwrite_default_scope("mmdet"):
        return inference_detector(model, str(folder / "picture.png")).pred_instances


@pytest.mark.parametrize("name", ["masks", "boxes"])
def test_the_detections_are_those_of_mmdet(folder: Path, name: str) -> None:
    """From RGB pixels we get what mmdet infers from the file; with swapped channels something else."""
    detector = load("cpu", folder / f"{name}.pth", folder / f"{name}.py")
    found, swapped = (
        detector.detect(RgbImages(pixels=np.ascontiguousarray(pixels[None])))[0]
        for pixels in (_picture(), _picture()[..., ::-1])
    )
    expected = _inferred(folder, name)
    assert len(found.scores) > 0
    boxes = expected.bboxes.numpy().round().clip(0, [90, 60, 90, 60])
    usable = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    assert np.array_equal(found.class_index, expected.labels.numpy()[usable])
    assert np.array_equal(found.boxes, boxes[usable])
    assert np.allclose(found.scores, expected.scores.numpy()[usable], rtol=0, atol=1e-6)
    assert ("masks" in expected) == (name == "masks")
    if name == "masks":
        assert np.array_equal(found.masks, expected.masks.numpy()[usable])
    best = min(len(found.scores), len(swapped.scores))
    assert not np.allclose(found.scores[:best], swapped.scores[:best], rtol=0, atol=1e-4)


def test_what_is_recorded_names_both_files(folder: Path) -> None:
    """The variant is "own-detector"; configuration, weights, versions and the reference's thresholds are recorded."""
    record = load_detector("mmdet", weights=folder / "masks.pth", config=folder / "masks.py").describe()
    assert record["variant"] == "own-detector"
    assert (record["config_file"], record["weights_file"]) == ("masks.py", "masks.pth")
    assert len(record["config_sha256"]) == len(record["weights_sha256"]) == 64
    assert record["thresholds"] == {"confidence": 0.3, "counting": 0.9, "max_objects": 16}
    assert record.items() >= import_mmdet().items()


def test_the_hash_of_a_configuration_covers_its_base_files(folder: Path) -> None:
    """The hash follows the settings, not the text: comments change nothing, a setting does."""
    hashes = []
    for extra in ("", "# a comment\n", "model = dict(test_cfg=dict(max_per_img=7))\n"):
        path = folder / "changed.py"
        path.write_text((folder / "boxes.py").read_text(encoding="utf-8") + extra, encoding="utf-8")
        hashes.append(load("cpu", folder / "boxes.pth", path).describe()["config_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def _without_weights(folder: Path) -> tuple[Path | None, Path]:
    return None, folder / "boxes.py"


def _without_config(folder: Path) -> tuple[Path | None, Path]:
    return folder / "boxes.pth", folder / "nowhere.py"


def _broken_config(folder: Path) -> tuple[Path | None, Path]:
    (folder / "broken.py").write_text("model = dict(", encoding="utf-8")
    return folder / "boxes.pth", folder / "broken.py"


def _half_a_config(folder: Path) -> tuple[Path | None, Path]:
    (folder / "half.py").write_text("data_root = 'nothing'\n", encoding="utf-8")
    return folder / "boxes.pth", folder / "half.py"


def _few_classes(folder: Path) -> tuple[Path | None, Path]:
    (folder / "few.py").write_text(
        (folder / "boxes.py").read_text(encoding="utf-8") + "model = dict(bbox_head=dict(num_classes=3))\n",
        encoding="utf-8",
    )
    return folder / "boxes.pth", folder / "few.py"


def _other_names(folder: Path) -> tuple[Path | None, Path]:
    tensors = torch.load(folder / "boxes.pth", weights_only=True)
    torch.save(
        {"meta": {"dataset_meta": {"CLASSES": ("cat", "dog")}}, "state_dict": tensors}, folder / "other.pth"
    )
    return folder / "other.pth", folder / "boxes.py"


def _other_weights(folder: Path) -> tuple[Path | None, Path]:
    return folder / "masks.pth", folder / "boxes.py"


def _unsafe_weights(folder: Path) -> tuple[Path | None, Path]:
    torch.save({"state_dict": {"weight": Path("a path is not a tensor")}}, folder / "unsafe.pth")
    return folder / "unsafe.pth", folder / "boxes.py"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (_without_weights, "give them with --detector-weights"),
        (_without_config, "is not a file"),
        (_broken_config, r"cannot be read as an mmdet configuration \(SyntaxError"),
        (_half_a_config, "should be a whole mmdet 3.x configuration"),
        (_few_classes, r"tells 3 apart"),
        (_other_names, "is for 2 classes: cat, dog"),
        (_other_weights, "do not fit the network"),
        (_unsafe_weights, "would run pathlib"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    folder: Path, files: Callable[[Path], tuple[Path | None, Path]], complaint: str
) -> None:
    """Each is an error in a few words before any image is looked at."""
    weights, config = files(folder)
    with pytest.raises(UsageError, match=complaint) as caught:
        load("cpu", weights, config)
    assert len(str(caught.value)) < 1000

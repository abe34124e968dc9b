"""The official detector on mmdet, small and with random weights, against mmdet's own prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former import Mask2FormerDetector
from selfe_eval.score.detectors.mask2former_input import ResizeRule, prepare
from selfe_eval.score.detectors.mmdet_mask2former import CONFIG, load, mmdet_network, packaged_config
from selfe_eval.score.detectors.mmdet_stub import build_model, import_mmdet
from selfe_eval.score.detectors.protocol import Detections, RgbImages
from tests.unit.score.detectors.small_mask2former import mmdet2_names, random_tensors, small_config

SMALL_RESIZE = ResizeRule(short_px=96, long_px=160)
SIZES = {"square": (64, 64), "wide": (40, 100), "tall": (100, 30), "tiny": (3, 5), "large": (300, 200)}


def _image(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """A picture of random patches, (H, W, 3) in RGB, with more red than blue."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    patches[..., 2] //= 3
    return np.asarray(Image.fromarray(patches).resize(size[::-1], Image.Resampling.BICUBIC))


def _grey(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.repeat(_image(size)[..., :1], 3, axis=2)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(small_config())


@pytest.fixture(scope="module")
def model(tensors: dict[str, Tensor]) -> nn.Module:
    return _model(tensors, small_config())


def _model(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> nn.Module:
    model = build_model(config).eval()
    model.load_state_dict(tensors)
    return model


def _detector(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], resize: ResizeRule
) -> Mask2FormerDetector:
    network = mmdet_network(tensors, config=config)
    return Mask2FormerDetector("mmdet", network, device="cpu", record={}, resize=resize)


@torch.inference_mode()
def _predicted(model: nn.Module, pixels: NDArray[np.uint8], resize: ResizeRule) -> Any:
    """What ``Mask2Former.predict`` of mmdet makes of the same prepared input, at the image's own size."""
    from mmdet.structures import DetDataSample

    prepared = prepare(RgbImages(pixels=pixels[None]), rule=resize)
    sample = DetDataSample(
        metainfo={
            "batch_input_shape": tuple(prepared.pixels.shape[-2:]),
            "img_shape": prepared.resized,
            "ori_shape": prepared.original,
        }
    )
    (predicted,) = model.predict(prepared.pixels, [sample], rescale=True)  # type: ignore[operator]
    return predicted.pred_instances


def _assert_same(found: Detections, predicted: Any, *, tolerance: float = 1e-5) -> None:
    """The same objects, in any order.

    Our deformable attention rounds otherwise than mmcv's: where it decides on which side of zero a mask's logit lies, that
    pixel differs, and with it the mean over the mask.
    """
    ours = np.lexsort((found.scores, found.class_index))
    labels, scores = predicted.labels.numpy(), predicted.scores.numpy()
    theirs = np.lexsort((scores, labels))
    assert np.array_equal(found.class_index[ours], labels[theirs])
    num_other_pixels = (found.masks[ours] != predicted.masks.numpy()[theirs]).sum(axis=(1, 2))
    assert num_other_pixels.max() <= 2  # pixels of one mask; on one thread 13 masks had one each
    same = num_other_pixels == 0
    assert np.allclose(found.scores[ours][same], scores[theirs][same], rtol=0, atol=tolerance)
    assert np.allclose(found.scores[ours], scores[theirs], rtol=0, atol=1e-3)
    assert np.array_equal(found.boxes[ours][same], predicted.bboxes.numpy()[theirs][same])


def test_the_network_gives_the_logits_of_the_last_layer(tensors: dict[str, Tensor], model: nn.Module) -> None:
    """Class logits are (B, Q, 81), mask logits (B, Q, H/4, W/4), both the last of mmdet's lists."""
    pixels = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    class_logits, mask_logits = mmdet_network(tensors, config=small_config())(pixels)
    assert class_logits.shape == (2, 12, 81)
    assert mask_logits.shape == (2, 12, 16, 24)
    with torch.inference_mode():
        every_class, every_mask = model(pixels, [])
    assert torch.allclose(class_logits, every_class[-1], atol=5e-4)  # rounding: logits reach 5
    assert torch.allclose(mask_logits, every_mask[-1], atol=5e-4)
    assert not torch.allclose(class_logits, every_class[-2], atol=0.1)


@pytest.mark.parametrize("make", [_image, _grey])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_detections_are_those_of_mmdet(
    tensors: dict[str, Tensor], model: nn.Module, size: tuple[int, int], make: Any
) -> None:
    """On every shape and on grey the detector finds what mmdet predicts from the same prepared pixels."""
    pixels = make(size)
    (found,) = _detector(tensors, small_config(), SMALL_RESIZE).detect(RgbImages(pixels=pixels[None]))
    _assert_same(found, _predicted(model, pixels, SMALL_RESIZE))
    assert len(found.scores) == 100
    assert found.scores.max() > 0.3


def _official_settings() -> Any:
    """The packaged configuration with the small network, reading bytes as mmdet 2.x does."""
    import mmdet
    from mmengine.config import Config

    settings = Config.fromfile(Path(mmdet.__file__).parent / CONFIG)
    settings.test_dataloader.dataset.pipeline[0].to_float32 = False
    return settings


@pytest.fixture(scope="module")
def inferred(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], Any]:
    """A square picture and what mmdet infers from its file, as the reference has it do."""
    from mmdet.apis import inference_detector
    from mmengine.registry import DefaultScope

    pixels = _image((50, 50))
    path = tmp_path_factory.mktemp("images") / "00000.png"
    Image.fromarray(pixels).save(path)
    model.cfg = _official_settings()
    with DefaultScope.overwrite_default_scope("mmdet"):
        result = inference_detector(model, str(path))
    return pixels, result.pred_instances


def test_pixels_go_in_as_mmdet_reads_them(
    tensors: dict[str, Tensor], inferred: tuple[NDArray[np.uint8], Any]
) -> None:
    """From a file through mmdet's own pipeline, or from RGB pixels through ours: the same objects."""
    pixels, predicted = inferred
    (found,) = _detector(tensors, small_config(), ResizeRule()).detect(RgbImages(pixels=pixels[None]))
    _assert_same(found, predicted)


def test_swapped_channels_are_noticed(
    tensors: dict[str, Tensor], inferred: tuple[NDArray[np.uint8], Any]
) -> None:
    """With red and blue exchanged the result is another, so the agreement above fixes the channel order."""
    pixels, predicted = inferred
    swapped = RgbImages(pixels=np.ascontiguousarray(pixels[None, ..., ::-1]))
    (found,) = _detector(tensors, small_config(), ResizeRule()).detect(swapped)
    with pytest.raises(AssertionError):
        _assert_same(found, predicted, tolerance=0.01)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"panoptic_head.cls_embed.bias": None}, r"missing: 1 \(panoptic_head\.cls_embed\.bias\)"),
        ({"extra": torch.zeros(1)}, r"not expected: 1 \(extra\)"),
        ({"panoptic_head.cls_embed.bias": torch.zeros(7)}, r"bias is \(7,\), should be \(81,\)"),
    ],
)
def test_weights_must_fit_exactly(
    tensors: dict[str, Tensor], changed: dict[str, Tensor | None], complaint: str
) -> None:
    """A tensor too few, too many or of another shape is an error that names it."""
    merged = {name: tensor for name, tensor in {**tensors, **changed}.items() if tensor is not None}
    with pytest.raises(UsageError, match=complaint):
        mmdet_network(merged, config=small_config())


def test_another_size_of_the_same_network_is_refused_in_few_words(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    """A Mask2Former with other widths is not the official detector, and the error does not list its 649 tensors."""
    path = tmp_path / "small.pth"
    torch.save(tensors, path)
    with pytest.raises(UsageError, match="not those of the official detector") as caught:
        load("cpu", path)
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("make", [_image, _grey])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_full_size_agrees_too(
    full_size: tuple[Mask2FormerDetector, nn.Module], size: tuple[int, int], make: Any
) -> None:
    """The official configuration with random weights from a file in 2.x names finds what mmdet predicts."""
    detector, model = full_size
    pixels = make(size)
    (found,) = detector.detect(RgbImages(pixels=pixels[None]))
    _assert_same(found, _predicted(model, pixels, ResizeRule()))


@pytest.mark.slow
def test_unofficial_weights_are_recorded_as_such(full_size: tuple[Mask2FormerDetector, nn.Module]) -> None:
    """Another file than the two official ones gives the variant "unverified-weights", with file, hash and versions."""
    record = full_size[0].describe()
    assert record["variant"] == "unverified-weights"
    assert record["weights_file"] == "random.pth"
    assert len(record["weights_sha256"]) == 64
    assert record.items() >= import_mmdet().items()


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mask2FormerDetector, nn.Module]:
    config = packaged_config()
    tensors = random_tensors(config)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({"meta": {}, "state_dict": mmdet2_names(tensors)}, path)
    detector = load("cpu", path)
    assert isinstance(detector, Mask2FormerDetector)
    return detector, _model(tensors, config)

"""mmdet without a compiler: what mmdet asks of mmcv's compiled operators, from torchvision or not at all.

mmcv with operators must be built for each pair of torch and CUDA, often fails to, and a build for another GPU
prints an error and goes on with garbage: the cause of many silently wrong GenEval scores. The wheel ``mmcv-lite``
holds the same Python without the operators. Mask2Former needs none of them but deformable attention, which mmcv
also has in plain PyTorch; that one is used on every device, also where compiled operators are installed.
Traded away: speed of that attention on a GPU, and detectors that need operators other than ``nms``.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from selfe_eval.errors import UsageError

OPERATORS = "mmcv._ext"
"""The module of compiled operators that ``mmcv-lite`` lacks."""


def import_mmdet() -> dict[str, str]:
    """Make ``mmdet.apis`` and ``mmdet.models`` importable, and import them.

    Returns:
        Versions of mmdet, mmengine and mmcv, and under "mmcv_operators" whether they are the "stub" or "compiled".

    Raises:
        UsageError: A package is missing, or the installed versions do not work together.
    """
    with without_known_warnings():
        try:
            if importlib.util.find_spec(OPERATORS) is None:
                sys.modules[OPERATORS] = _StubOperators(OPERATORS)
            attention = importlib.import_module("mmcv.ops.multi_scale_deform_attn")
            modules = [importlib.import_module(name) for name in ("mmdet", "mmengine", "mmcv")]
            for name in ("mmdet.apis", "mmdet.models", "mmdet.datasets"):
                importlib.import_module(name)
        except (ImportError, AssertionError) as error:  # mmdet asserts the versions of the other two
            raise UsageError(
                f"The detector 'mmdet' needs mmdet with mmengine and mmcv-lite, and importing them failed: {error} "
                "Install them with `pip install 'selfe-eval[mmdet]'`, or use --detector transformers, which runs "
                "the same weights without mmdet."
            ) from error
        torch.meshgrid(torch.zeros(1))  # mmdet calls it so; torch warns once in a process, and here unheard
    attention.IS_CUDA_AVAILABLE = False  # type: ignore[attr-defined]  # plain PyTorch on every device
    is_stub = isinstance(sys.modules.get(OPERATORS), _StubOperators)
    return {
        **{module.__name__: str(module.__version__) for module in modules},
        "mmcv_operators": "stub" if is_stub else "compiled",
    }


def build_model(config: Mapping[str, Any]) -> nn.Module:
    """Build the network that the ``model`` part of an mmdet configuration describes, with fresh weights.

    Raises:
        UsageError: mmdet is not installed.
    """
    import_mmdet()
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    with without_known_warnings(), DefaultScope.overwrite_default_scope("mmdet"):
        model: nn.Module = MODELS.build(config)
    return model


def build_pipeline(config: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Build the test pipeline of a whole mmdet configuration, for images that are arrays and have no annotations."""
    import_mmdet()
    from mmcv.transforms import Compose
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.registry import DefaultScope

    steps = [
        step
        for step in get_test_pipeline_cfg(config)
        if not re.fullmatch(r"Load\w*Annotations", step["type"])
    ]
    steps[0] = {**steps[0], "type": "LoadImageFromNDArray"}
    with without_known_warnings(), DefaultScope.overwrite_default_scope("mmdet"):
        pipeline: Callable[[dict[str, Any]], dict[str, Any]] = Compose(steps)
    return pipeline


@contextmanager
def without_known_warnings() -> Iterator[None]:
    """Silence what these packages say about their own code; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "``MultiScaleDeformableAttention`` has been moved", ImportWarning)
        warnings.filterwarnings("ignore", "The arguments `dropout` in MultiheadAttention", DeprecationWarning)
        warnings.filterwarnings("ignore", "`torch.cuda.amp.autocast", FutureWarning)
        warnings.filterwarnings("ignore", "torch.meshgrid: in an upcoming release", UserWarning)
        yield


class _StubOperators(ModuleType):
    """Stands in for ``mmcv._ext``: has every operator by name, and only ``nms`` works."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # without it find_spec raises the next time

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_arguments: Any, **_options: Any) -> NoReturn:
            raise NotImplementedError(
                f"This detector calls mmcv's compiled operator {name!r}, which mmcv-lite does not have. Install mmcv "
                "with operators in its place, or use a detector that does not need it."
            )

        return missing

    @staticmethod
    def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
        """Non-maximum suppression with mmcv's signature.

        Args:
            boxes: (N, 4) x0 y0 x1 y1.
            scores: (N,).
            iou_threshold: Of two boxes that overlap more, the weaker one goes.
            offset: 1 if right and bottom are inclusive, which adds a pixel to widths and heights; else 0.

        Returns:
            (K,) indices of the boxes kept, best first.
        """
        from torchvision.ops import nms  # type: ignore[import-untyped]

        kept: Tensor = nms(boxes + boxes.new_tensor([0, 0, offset, offset]), scores, iou_threshold)
        return kept

"""Documents of experiments, made of a few numbers: what the report of the reference results is tested with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Curve = Mapping[int, float]

SE = 0.01
"""Of every score and every difference."""


def estimate(value: float | None, se: float | None = SE) -> dict[str, Any]:
    """An estimate from 553 images."""
    ci = None if value is None or se is None else [value - 1.96 * se, value + 1.96 * se]
    return {"value": value, "se": se, "ci": ci, "n": 553, "n_unscored": 0, "n_clusters": 553}


def difference(delta: float) -> dict[str, Any]:
    """A paired difference and its normal p-value."""
    p = math.erfc(abs(delta) / SE / math.sqrt(2))
    return {
        "delta": delta,
        "se": SE,
        "ci": [delta - 1.96 * SE, delta + 1.96 * SE],
        "p": p,
        "n": 553,
        "n_clusters": 553,
    }


def ablation(
    curves: Mapping[str, Curve], baseline: str, measured: Mapping[str, Mapping[str, Curve]] | None = None
) -> dict[str, Any]:
    """The document of ``ablate``; p-values are those of the differences, three times as large.

    Args:
        curves: Variant -> GenEval.
        baseline: A variant.
        measured: Full name of another metric -> variant -> its values.
    """
    return {
        "schema_version": 1,
        "suite": "openmoji",
        "metric": "geneval",
        "partial": False,
        "budget": {
            "num_steps": 1000,
            "warm_start_steps": 900,
            "batch_size": 64,
            "num_scenes": 9,
            "is_smoke": False,
        },
        "baseline": baseline,
        "variants": [
            {
                "variant": name,
                "objective": name,
                "seeds": [2],
                "runs": [f"runs/{name}-seed-2"],
                "train_seconds": [1000.0],
                "step_seconds": [2.0, 2.0],
                "relative_step_time": None,
                "rows": [_row(steps, value, name, baseline, curves) for steps, value in curve.items()],
                "measures": [
                    {
                        "metric": metric,
                        "protocol": "f" * 64,
                        "seed": 2,
                        "steps": steps,
                        "overall": estimate(value),
                    }
                    for metric, found in (measured or {}).items()
                    for steps, value in found.get(name, {}).items()
                ],
            }
            for name, curve in curves.items()
        ],
        "published": [],
        "notes": ["One budget for all."],
    }


def _row(steps: int, value: float, name: str, baseline: str, curves: Mapping[str, Curve]) -> dict[str, Any]:
    against = None if name == baseline else difference(value - curves[baseline][steps])
    return {
        "steps": steps,
        "overall": estimate(value),
        "by_seed": [value],
        "seed_deviation": None,
        "against_baseline": against,
        "p_adjusted": None if against is None else min(1.0, 3 * against["p"]),
    }


Sampler = tuple[str, float, float | None]
"""s_k, eta, warp; None: the model's own."""


def schedules(cells: Mapping[Sampler, Curve]) -> dict[str, Any]:
    """The document of ``schedules``; the first cell is the default."""
    default, *_ = cells
    rows = [
        _cell(sampler, steps, value, default, cells)
        for sampler, curve in cells.items()
        for steps, value in curve.items()
    ]
    best = []
    for count in cells[default]:
        sampler = max(cells, key=lambda one: cells[one][count])
        best.append(_cell(sampler, count, cells[sampler][count], default, cells))
    return {
        "schema_version": 1,
        "model": "selfe-tiny",
        "suite": "openmoji",
        "metric": "geneval",
        "partial": False,
        "default": {"s_schedule": default[0], "eta": default[1], "warp": default[2]},
        "num_comparisons": sum(row["p_adjusted"] is not None for row in rows),
        "best": best,
        "cells": rows,
        "notes": ["The default is the checkpoint's own."],
    }


def _cell(
    sampler: Sampler, steps: int, value: float, default: Sampler, cells: Mapping[Sampler, Curve]
) -> dict[str, Any]:
    s_schedule, eta, warp = sampler
    is_default = sampler == default
    return {
        "s_schedule": s_schedule,
        "eta": eta,
        "warp": warp,
        "is_default": is_default,
        "steps": steps,
        "overall": estimate(value),
        "against_default": None if is_default else difference(value - cells[default][steps]),
        "p_adjusted": None if is_default else 0.2,
        "run": "run",
    }


def probe(cosines: Mapping[str, Mapping[float, float | None]]) -> dict[str, Any]:
    """The document of ``probe``: checkpoint -> s -> cosine, the same for the other measures."""
    return {
        "schema_version": 1,
        "teacher": "flow-tiny",
        "num_scenes": 256,
        "start": None,
        "seed": 0,
        "checkpoints": [
            {
                "label": label,
                "checkpoint": label,
                "objective": "self_e",
                "train_steps": 100,
                "rows": [
                    {"s": s, "cosine": _mean(value), "norm_ratio": _mean(value), "energy_share": _mean(value)}
                    for s, value in by_time.items()
                ],
            }
            for label, by_time in cosines.items()
        ],
        "notes": ["Delta of each checkpoint and of flow-tiny."],
    }


def _mean(value: float | None) -> dict[str, Any]:
    se = None if value is None else SE
    return {"value": value, "se": se, "ci": None, "n": 256, "n_left_out": 0}


def write_documents(folder: Path, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Where the report looks for them, below a folder of results."""
    place = folder / "reference"
    place.mkdir(parents=True, exist_ok=True)
    for stem, document in documents.items():
        (place / f"{stem}.json").write_text(json.dumps(document), encoding="utf-8")

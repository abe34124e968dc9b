"""Training data that ``selfe-eval encode`` has encoded, read row by row from mapped files.

Which rows a part of a batch shows is the plan that pictures follow too (``selfe.data.plan``): every row once an epoch, a part
has rows of one grid. Rows that share a caption show the same picture, since captions are taken to be unique.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import torch

from selfe.condition import Condition
from selfe.data.batches import BatchOptions
from selfe.data.latent_shards import (
    FAKE,
    FORMAT,
    MANIFEST_FILE,
    NULL_FILE,
    SETTINGS_FILE,
    TEXT,
    LatentShard,
    ShardError,
    padded,
)
from selfe.data.plan import BucketPlan
from selfe.encoders.flux_autoencoder import FrozenAutoencoderConfig
from selfe.model import FrozenTextConfig
from selfe.training.trainer import Captioned

NUM_OPEN = 256
"""Shards that are open at a time: each is a file of the process."""


class PrecomputedLatents:
    """The rows of a folder of encoded shards; implements ``selfe.training.trainer.LatentSource``.

    Latents come as float32, embeddings as the bfloat16 they are stored in.
    """

    def __init__(self, folder: Path, options: BatchOptions, *, with_fake: bool = False) -> None:
        """Read the manifest; no latents yet.

        Args:
            folder: What ``selfe-eval encode`` wrote.
            options: How rows become batches.
            with_fake: Whether a batch carries its captions with the phrase "fake image" too.

        Raises:
            ShardError: the folder is missing, not finished, lacks a shard, or has no fake captions and they are asked for.
        """
        self._settings = _read(folder, SETTINGS_FILE, ("text", "autoencoder", "encoders", "fake", "size_px"))
        manifest = _read(folder, MANIFEST_FILE, ("shards",))
        if with_fake and not self._settings["fake"]:
            raise ShardError(
                f"{folder} holds no captions with the phrase 'fake image', which the objective needs. Encode the data again "
                "with `selfe-eval encode --fake`, into another folder."
            )
        self._options = options
        self._with_fake = with_fake
        self._grids = _grids(folder, manifest["shards"])
        self._shard = lru_cache(maxsize=NUM_OPEN)(LatentShard)
        self._plan = BucketPlan(
            [grid.ends[-1] for grid in self._grids],
            num_places=options.num_pictures,
            seed=options.seed,
        )
        null = LatentShard(folder / NULL_FILE)
        self._null = padded([null.prompt(0)], self.text.num_tokens)

    @property
    def null(self) -> Condition:
        """The null prompt phi, one row."""
        return self._null

    @property
    def text(self) -> FrozenTextConfig:
        """The text encoders that encoded the captions, for the configuration of a model."""
        return FrozenTextConfig(**self._settings["text"])

    @property
    def autoencoder(self) -> FrozenAutoencoderConfig:
        """The autoencoder that encoded the pictures, for a checkpoint."""
        return FrozenAutoencoderConfig(**self._settings["autoencoder"])

    @property
    def encoders(self) -> Mapping[str, Mapping[str, str]]:
        """Role -> file name -> SHA-256 of the encoders' weights, for a checkpoint."""
        encoders: Mapping[str, Mapping[str, str]] = self._settings["encoders"]
        return encoders

    @property
    def widths(self) -> tuple[int, int, int]:
        """(X, Y, D): of text tokens, of the pooled vector, and of image tokens."""
        assert self._null.pooled is not None
        path, row = self._grids[0].place(0)
        token_dims = self._shard(path).latents(row).shape[-1]
        return self._null.tokens.shape[-1], self._null.pooled.shape[-1], token_dims

    @property
    def size_px(self) -> int:
        """Side of the square whose area the pictures were given."""
        return int(self._settings["size_px"])

    @property
    def num_rows(self) -> int:
        """Encoded pictures in all."""
        return sum(grid.ends[-1] for grid in self._grids)

    def batch(self, step: int, part: int) -> Captioned:
        """One part of the batch of a step."""
        which, places = self._plan.part(step * self._options.num_parts + part)
        grid = self._grids[which]
        rows = [
            (self._shard(path), row)
            for place in places
            for path, row in [grid.place(self._plan.picture(which, place))]
        ]
        repeated = [row for row in rows for _ in range(self._options.rows_per_caption)]
        return Captioned(
            torch.stack([shard.latents(row) for shard, row in repeated]).float(),
            self._prompts(repeated, TEXT),
            grid.shape,
            self._prompts(repeated, FAKE) if self._with_fake else None,
        )

    def _prompts(self, rows: Sequence[tuple[LatentShard, int]], prefix: str) -> Condition:
        return padded([shard.prompt(row, prefix) for shard, row in rows], self.text.num_tokens)


class _Grid(NamedTuple):
    """All rows of one grid: those of its shards, one after the other."""

    shape: tuple[int, int]
    paths: list[Path]
    ends: list[int]

    def place(self, number: int) -> tuple[Path, int]:
        """The shard of a row, and its number there."""
        which = bisect_right(self.ends, number)
        return self.paths[which], number - (self.ends[which - 1] if which else 0)


def _grids(folder: Path, shards: Sequence[Mapping[str, Any]]) -> list[_Grid]:
    names = [str(shard["file"]) for shard in shards]
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing or not shards:
        raise ShardError(
            f"{folder} lacks {len(missing)} of the {len(shards)} shards in its {MANIFEST_FILE}"
            f"{', such as ' + missing[0] if missing else ''}. Copy them, or delete {MANIFEST_FILE} and repeat `selfe-eval "
            "encode`, which makes what is missing."
        )
    by_grid: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for shard in shards:
        rows, columns = shard["grid"]
        by_grid.setdefault((rows, columns), []).append(shard)
    return [
        _Grid(
            grid, [folder / shard["file"] for shard in own], list(accumulate(shard["rows"] for shard in own))
        )
        for grid, own in sorted(by_grid.items())
    ]


def _read(folder: Path, name: str, entries: Sequence[str]) -> dict[str, Any]:
    """A JSON document of the folder, of this format and with these entries."""
    path = folder / name
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ShardError(
            f"No {name} in {folder}: expected a folder that `selfe-eval encode` has finished. Repeat its command with this "
            "--out; it goes on where it stopped."
        ) from error
    except (OSError, ValueError) as error:
        raise ShardError(f"{path} cannot be read: {error}. Copy the folder again.") from error
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or any(entry not in document for entry in entries)
    ):
        raise ShardError(
            f"{path}: expected the format {FORMAT!r} with {', '.join(entries)}. Name a folder of `selfe-eval encode`."
        )
    return document

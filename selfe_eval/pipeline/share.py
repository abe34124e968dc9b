"""Who computes what: the planned batches that are missing, dealt out to the processes of a job.

Whole batches, since bits depend on what is computed together: any number of processes makes the same records. The
first process says what is missing, because the others could see files that are only just being written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

from selfe_eval.pipeline.plan import Batch
from selfe_eval.pipeline.progress import Advance, Progress
from selfe_eval.ranks import Ranks
from selfe_eval.records import ImageKey


def missing_batches(ranks: Ranks, planned: Sequence[Batch], done: Collection[ImageKey]) -> list[Batch]:
    """The batches of which any image needs work, the same list in every process; all meet here.

    Args:
        ranks: This process among those of its job.
        planned: Every batch, in the order of the plan.
        done: The images that need no work; only what the first process says counts.

    Raises:
        UntrustworthyError: another process will never come.
    """
    done = set(done)
    is_missing = ranks.first_says([not done.issuperset(batch.keys) for batch in planned])
    return [batch for batch, missing in zip(planned, is_missing, strict=True) if missing]


def stage_of_share(
    name: str, progress: Progress, ranks: Ranks, planned: Sequence[Batch], missing: Sequence[Batch]
) -> contextlib.AbstractContextManager[Advance]:
    """Tell of a stage: of the whole run where one process works on it, else of this process's own share."""
    if ranks.count > 1:
        own = _num_images(ranks.share(missing))
        return progress.stage(f"{name} (process 1 of {ranks.count})", total=own, done=0)
    total = _num_images(planned)
    return progress.stage(name, total=total, done=total - _num_images(missing))


def _num_images(batches: Sequence[Batch]) -> int:
    return sum(len(batch.keys) for batch in batches)

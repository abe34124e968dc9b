"""The prompts that are a run's own: rewritten ones are kept in its folder, so that FILE is never needed again."""

from __future__ import annotations

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.records import Suite
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.run import Run
from selfe_eval.suites.registry import load_suite, metadata_lines
from selfe_eval.suites.rewritten import base_name, is_rewritten, rewritten_suite


def write_prompts(run: Run, suite: Suite) -> None:
    """Keep the prompts of a planned run, where they are not the official ones.

    Args:
        run: The run; the caller holds its lock. Of several processes the first one writes.
        suite: What the run was planned for.
    """
    if is_rewritten(suite.name) and run.ranks.is_first:
        atomic_write(run.folder / layout.PROMPTS_FILE, metadata_lines(suite))
    run.ranks.meet()


def read_prompts(run: Run) -> Suite:
    """The suite of the name that stands in a run's spec, rewritten ones from its folder.

    Raises:
        UntrustworthyError: the rewritten prompts are missing or damaged.
    """
    base = load_suite(base_name(run.spec.suite))
    if not is_rewritten(run.spec.suite):
        return base
    try:
        return rewritten_suite(base, run.folder / layout.PROMPTS_FILE)
    except UsageError as error:
        raise UntrustworthyError(
            f"{run.folder} was made with rewritten prompts, which cannot be read any more. {error} Repeat the "
            "command that began the run, with its --prompts, to write them again."
        ) from error

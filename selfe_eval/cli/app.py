"""The program: a visible table of verbs, loaded one at a time, and the way from an error to an exit code.

A verb's module is imported when the verb is invoked or its own --help is shown, and never to list the verbs,
so `selfe-eval --help` imports neither torch nor numpy. Exit codes: 0 fine; 1 unexpected; 2 usage or
configuration; 3 not comparable, incomplete or untrustworthy; 10 and 11 verdicts that the caller asked to
count; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import selfe_eval
from selfe_eval.cli.one_voice import leave_it_to_the_first, only_the_first_speaks
from selfe_eval.cli.terminal import LOG_VARIABLE, LogMode, complain
from selfe_eval.errors import SelfeEvalError, unknown_name
from selfe_eval.ranks import ranks_here

ENV_PREFIX = "SELFE_EVAL"
"""``--images-per-prompt`` can come from ``SELFE_EVAL_IMAGES_PER_PROMPT``, and so on for every option."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

QUESTION = "How good is a text-to-image model at 1, 2, 4, 8 and 50 steps, and is the difference real?"
"""What the program answers."""

BEGIN_HERE = {
    "selfe-eval doctor": "is this installation sound?",
    "selfe-eval geneval --ckpt selfe-tiny": "measure a model",
    "selfe-eval compare RUN_A RUN_B": "is one better, image by image?",
    "selfe-eval report RUN": "everything on one HTML page",
    "selfe-eval gate --baseline FILE --run RUN": "fail in CI where it got worse",
}
"""The five commands that people need, as they are typed, and what each answers."""

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Where a verb lives and what the list of verbs says about it."""

    target: str
    """``module:function``, or a ``module:typer_app`` for a verb with verbs of its own."""
    summary: str
    """One line for the list."""
    panel: str
    """The heading it stands under."""
    is_shared: bool = False
    """Whether several processes share its work; else only the first one does it."""


MEASURE, RUNS, RESULTS, MODEL, HERE = "Measure", "Runs", "Results", "Model", "What is here"

VERBS = {
    "geneval": Verb(
        target="selfe_eval.cli.geneval:geneval",
        summary="Generate and score a model at several step counts; leaderboard and verdict.",
        panel=MEASURE,
        is_shared=True,
    ),
    "sweep": Verb(
        target="selfe_eval.cli.measure:sweep",
        summary="All metrics over step counts, with diversity beside quality, and verdicts.",
        panel=MEASURE,
        is_shared=True,
    ),
    "clip-score": Verb(
        target="selfe_eval.cli.measure:clip_score",
        summary="How well images fit their prompts, by a CLIP model.",
        panel=MEASURE,
        is_shared=True,
    ),
    "fid": Verb(
        target="selfe_eval.cli.measure:fid",
        summary="How far images are from reference images.",
        panel=MEASURE,
        is_shared=True,
    ),
    "score-detections": Verb(
        target="selfe_eval.cli.score_detections:score_detections",
        summary="Apply GenEval's rules to given detections, one JSON result a line.",
        panel=MEASURE,
    ),
    "calibrate": Verb(
        target="selfe_eval.cli.calibrate:calibrate",
        summary="Is the bundled judge right on scenes whose truth is known?",
        panel=MEASURE,
    ),
    "generate": Verb(
        target="selfe_eval.cli.stages:generate",
        summary="The first stage alone: plan a run and draw its images.",
        panel=RUNS,
        is_shared=True,
    ),
    "score": Verb(
        target="selfe_eval.cli.stages:score",
        summary="Score the images of a run, or images that anybody made.",
        panel=RUNS,
        is_shared=True,
    ),
    "summarise": Verb(
        target="selfe_eval.cli.stages:summarise",
        summary="Compute a run's numbers from its scores.",
        panel=RUNS,
    ),
    "resume": Verb(
        target="selfe_eval.cli.runs:resume",
        summary="Go on with a run after a crash or an interrupt.",
        panel=RUNS,
        is_shared=True,
    ),
    "status": Verb(target="selfe_eval.cli.runs:status", summary="What is there of a run.", panel=RUNS),
    "validate": Verb(
        target="selfe_eval.cli.runs:validate", summary="Is a run whole and unchanged?", panel=RUNS
    ),
    "leaderboard": Verb(
        target="selfe_eval.cli.leaderboard:leaderboard",
        summary="Runs ranked with ties: terminal, markdown, HTML, CSV or JSON.",
        panel=RESULTS,
    ),
    "export": Verb(
        target="selfe_eval.cli.export:export",
        summary="A run's numbers as files for the Hugging Face Hub; nothing is uploaded.",
        panel=RESULTS,
    ),
    "report": Verb(
        target="selfe_eval.cli.report:report",
        summary="Runs as one HTML page: verdict, curves, pictures with boxes, origins.",
        panel=RESULTS,
    ),
    "failures": Verb(
        target="selfe_eval.cli.failures:failures",
        summary="Failed images on one sheet, with the boxes of what was found.",
        panel=RESULTS,
    ),
    "compare": Verb(
        target="selfe_eval.cli.compare:compare",
        summary="The paired difference of two runs, with intervals.",
        panel=RESULTS,
    ),
    "gate": Verb(
        target="selfe_eval.cli.gate:gate",
        summary="Fail where a run is worse than its baseline: for CI.",
        panel=RESULTS,
    ),
    "baseline": Verb(
        target="selfe_eval.cli.baseline:baseline",
        summary="Make a run the baseline that `gate` holds later runs against.",
        panel=RESULTS,
    ),
    "power": Verb(
        target="selfe_eval.cli.power:power",
        summary="What a design of so many prompts and images can detect, before compute is spent.",
        panel=RESULTS,
    ),
    "train": Verb(
        target="selfe_eval.cli.train:train",
        summary="Train a network with any objective, on the openmoji world or on your pictures.",
        panel=MODEL,
        is_shared=True,
    ),
    "encode": Verb(
        target="selfe_eval.cli.encode:encode",
        summary="Encode captioned pictures once, to train a large model from.",
        panel=MODEL,
        is_shared=True,
    ),
    "sample": Verb(
        target="selfe_eval.cli.sample:sample",
        summary="Draw pictures for prompts, at several step counts.",
        panel=MODEL,
    ),
    "ablate": Verb(
        target="selfe_eval.cli.ablate:ablate",
        summary="Train the paper's variants under one budget and score them alike.",
        panel=MODEL,
    ),
    "schedules": Verb(
        target="selfe_eval.cli.schedules:schedules",
        summary="Sweep s_k and eta of the sampler for a checkpoint, over step counts.",
        panel=MODEL,
    ),
    "probe": Verb(
        target="selfe_eval.cli.probe:probe",
        summary="Does a model judge its own samples as a converged teacher would?",
        panel=MODEL,
    ),
    "doctor": Verb(
        target="selfe_eval.cli.doctor:doctor",
        summary="Can this installation give a true number? Versions, weights, self-tests.",
        panel=HERE,
    ),
    "checkpoints": Verb(
        target="selfe_eval.cli.checkpoints:checkpoints", summary="The bundled checkpoints.", panel=HERE
    ),
    "suites": Verb(target="selfe_eval.cli.suites:suites", summary="The prompt suites.", panel=HERE),
}
"""Every verb, in the order of the list."""


class LazyVerbs(TyperGroup):
    """Lists verbs from the table; imports one when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        """The names, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is Typer's
        """What the list shows of a verb; `resolve_command` loads the real one."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        return TyperCommand(cmd_name, short_help=verb.summary, help=verb.summary, rich_help_panel=verb.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is invoked, loaded.

        Raises:
            UsageError: there is no such verb.
        """
        name, *rest = args
        if name not in VERBS and ctx.resilient_parsing:
            return None, None, rest  # a shell asks how to complete a line that is wrong already
        if name.startswith("-"):
            ctx.fail(f"No such option: {name}")
        if name not in VERBS:
            raise unknown_name("command", name, VERBS)
        if not VERBS[name].is_shared and not ctx.resilient_parsing:
            leave_it_to_the_first()
        return name, load_verb(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; an error that a user can cause becomes a paragraph and an exit code."""
        with errors_as_exit_codes(), only_the_first_speaks():
            return super().invoke(ctx)


def load_verb(name: str) -> Any:
    """The command of a verb in the table."""
    module, attribute = VERBS[name].target.split(":")
    target = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        program = typer.Typer(add_completion=False, rich_markup_mode="rich")
        program.command(name, context_settings=HELP_NAMES)(target)
        target = program
    command = typer.main.get_command(target)
    command.name = name
    _let_environment_speak(command)
    return command


def _let_environment_speak(command: Any) -> None:
    """Give every option of a command, and of the commands below it, an environment variable, where it has none."""
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.envvar is None:
            longest = max(parameter.opts, key=len).lstrip("-")
            parameter.envvar = f"{ENV_PREFIX}_{longest.upper().replace('-', '_')}"
    for below in getattr(command, "commands", {}).values():
        _let_environment_speak(below)


@contextlib.contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the program with this module's exit codes; the unexpected keeps its traceback (exit 1)."""
    try:
        yield
    except SelfeEvalError as error:
        complain(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt as error:
        if ranks_here().is_first:
            complain(str(error) or "Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of stdout has gone (as in `| head`): point stdout elsewhere, so that the flush at
        # exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        where = f" at {error.filename}" if error.filename else ""
        complain(
            f"error: A file could not be read or written{where}: {reason}. What was finished before is kept; "
            "free the space or restore access, and repeat the command."
        )
        raise typer.Exit(1) from None


def main() -> None:
    """The console script ``selfe-eval``."""
    command()(prog_name="selfe-eval")


def command() -> Any:
    """The whole program as one command."""
    program = typer.Typer(
        cls=LazyVerbs,
        no_args_is_help=True,
        invoke_without_command=True,
        rich_markup_mode="rich",
        context_settings=HELP_NAMES,
        pretty_exceptions_enable=False,
    )
    program.callback(help=_help())(_selfe_eval)
    return typer.main.get_command(program)


def _selfe_eval(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", show_default=False, is_eager=True)
    ] = False,
    log: Annotated[
        LogMode,
        typer.Option(envvar=LOG_VARIABLE, help="On stderr: talk, errors alone, or a JSON object a line."),
    ] = "text",
) -> None:
    """Options of the program; the text is that of `_help`."""
    if version:
        typer.echo(f"selfe-eval {selfe_eval.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    os.environ[LOG_VARIABLE] = log
    if log != "text":
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when a verb imports the library


def _help() -> str:
    """What stands above the list of verbs."""
    width = max(map(len, BEGIN_HERE))
    lines = [f"{typed:<{width}}  {about}" for typed, about in BEGIN_HERE.items()]
    return "\n".join((f"{QUESTION}\n", "Begin here:", *lines))


if __name__ == "__main__":
    main()

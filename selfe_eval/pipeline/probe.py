"""Compare the self-evaluation of several checkpoints with a teacher's; tables, a document, and pictures of each checkpoint.

Files: ``probe.json`` (the plan, written first), ``result.json`` (the document of ``--json``) and ``pictures-N-NAME.png``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfe_eval import provenance
from selfe_eval.generate.checkpoints import CheckpointFolder
from selfe_eval.pipeline.experiment import planned_experiment
from selfe_eval.report.experiment import ExperimentReport
from selfe_eval.report.picture_grid import picture_grid
from selfe_eval.report.probe import ProbeConditions, ProbedCheckpoint, probe_report
from selfe_eval.runs.atomic import atomic_write, atomic_write_json
from selfe_eval.stats.mean import mean_of

if TYPE_CHECKING:
    from selfe_eval.train.probe import Probed, Question

PLAN_FILE = "probe.json"
RESULT_FILE = "result.json"
COLUMNS = ("x0", "xhat0", "- own Delta", "- teacher's Delta")
"""Of the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """What to compare, and on what."""

    checkpoints: tuple[CheckpointFolder, ...]
    """Early, middle, late: any number, in the order to show."""
    teacher: CheckpointFolder
    """A converged model of the same latents."""
    num_scenes: int
    """See ``Question``, as for the rest."""
    times: tuple[float, ...]
    """Values of s, ascending."""
    start: float | None
    """t; None draws it."""
    seed: int
    """Of scenes and noises."""
    num_pictures: int
    """Scenes to show; at most 64."""

    def as_json(self) -> dict[str, Any]:
        """Everything that decides the result, as ``probe.json`` has it."""
        return {
            "experiment": "probe",
            "checkpoints": [{"at": one.reference, "sha256": one.sha256} for one in self.checkpoints],
            "teacher": {"at": self.teacher.reference, "sha256": self.teacher.sha256},
            "num_scenes": self.num_scenes,
            "times": list(self.times),
            "start": self.start,
            "seed": self.seed,
            "num_pictures": self.num_pictures,
        }

    def folder_name(self) -> str:
        """Of the default folder: the same command finds it again."""
        return f"probe-{self.teacher.name}-{provenance.json_sha256(self.as_json())[:8]}"


def run_probe(
    plan: ProbePlan, folder: Path, *, device: str, announce: Callable[[str], None]
) -> ExperimentReport:
    """Measure every checkpoint and write the result.

    Raises:
        UsageError: the models do not fit each other, or the folder cannot be written or holds something else.
    """
    with planned_experiment(folder, PLAN_FILE, plan.as_json()):
        from selfe_eval.train.probe import Question, draw_scenes, load_subjects, probe

        *subjects, teacher = load_subjects([*plan.checkpoints, plan.teacher], device)
        question = Question(
            num_scenes=plan.num_scenes,
            times=plan.times,
            start=plan.start,
            seed=plan.seed,
            num_pictures=plan.num_pictures,
        )
        scenes = draw_scenes(question, [*subjects, teacher])
        found = []
        for number, (source, subject) in enumerate(zip(plan.checkpoints, subjects, strict=True), start=1):
            label = _label(source)
            announce(f"{number} of {len(subjects)}: {label}")
            probed = probe(subject, teacher, scenes, question)
            found.append(_measured(source, label, probed))
            sheet = _sheet(label, plan.teacher.name, probed, question)
            atomic_write(folder / f"pictures-{number}-{source.name}.png", sheet)
        conditions = ProbeConditions(
            teacher=plan.teacher.name, num_scenes=plan.num_scenes, start=plan.start, seed=plan.seed
        )
        report = probe_report(found, conditions)
        atomic_write_json(folder / RESULT_FILE, report.document)
    return report


def _label(checkpoint: CheckpointFolder) -> str:
    steps = _training(checkpoint).get("steps")
    return checkpoint.name if steps is None else f"{checkpoint.name} @ {steps}"


def _training(checkpoint: CheckpointFolder) -> dict[str, Any]:
    return dict(checkpoint.config.get("training") or {})


def _measured(checkpoint: CheckpointFolder, label: str, probed: Probed) -> ProbedCheckpoint:
    training = _training(checkpoint)
    return ProbedCheckpoint(
        label=label,
        reference=checkpoint.reference,
        objective=str(training.get("objective", "")),
        train_steps=training.get("steps"),
        means={
            measure: {s: mean_of(values) for s, values in by_time.items()}
            for measure, by_time in probed.values.items()
        },
    )


def _sheet(label: str, teacher: str, probed: Probed, question: Question) -> bytes:
    from selfe_eval.train.probe import picture_time

    title = (
        f"{label} against {teacher} at s = {picture_time(question):g}: a scene, what the checkpoint predicts from its noisy "
        "latents, and that prediction corrected by either direction"
    )
    return picture_grid(title, COLUMNS, [(picture.prompt, picture.images) for picture in probed.pictures])

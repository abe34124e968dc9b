"""A run folder: created or opened, locked while somebody works on it, and refused where it holds another run.

``run.json`` is written before anything else and rewritten atomically; a folder without it is not a run.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.ranks import ALONE, Ranks
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import TEMPORARY_SUFFIX, atomic_write_json
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.spec import RunSpec

SCHEMA_VERSION = 1
"""Of ``run.json``. Another number is refused, never guessed at."""

Status = Literal["started", "incomplete", "complete"]
"""started: at work, or a crash stopped it; incomplete: it stopped and says so; complete: all is there."""

_STATUSES = ("started", "incomplete", "complete")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The content of ``run.json``."""

    spec: RunSpec
    """What was asked."""
    prompt_ids: tuple[int, ...]
    """The prompts it covers, ascending."""
    partial: bool
    """True where the suite is not covered whole: barred from leaderboard and gate."""
    checkpoint: str | None = None
    """The checkpoint's folder, or its bundled name; for another model its folder, its name on the hub
    with ``@`` and the commit, or ``module:attribute``. Not part of the spec, since folders may move."""
    device: str = "auto"
    """The device that was asked for; what was used stands in ``generator``."""
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    """The judge's files; not part of the spec, as with the checkpoint."""
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    """What is measured of it, and with which files; not part of the spec either."""
    status: Status = "started"
    """How far it came."""
    generator: Mapping[str, Any] = field(default_factory=dict)
    """The generator's description of itself: sampler options, device, versions."""
    nfe: Mapping[int, int] = field(default_factory=dict)
    """Step count -> network evaluations an image, where the generator knows."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """Each time somebody worked on it: time, command line, versions, git commit and dirty flag."""

    def as_json(self) -> dict[str, Any]:
        """The document ``run.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "partial": self.partial,
            "spec": self.spec.as_json(),
            "spec_sha256": self.spec.sha256,
            "prompt_ids": list(self.prompt_ids),
            "checkpoint": self.checkpoint,
            "device": self.device,
            "judge": self.judge.as_json(),
            **({} if self.measures == MeasureOptions() else {"measures": self.measures.as_json()}),
            "generator": dict(self.generator),
            "nfe": {str(steps): count for steps, count in self.nfe.items()},
            "attempts": [dict(attempt) for attempt in self.attempts],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        """Read the document ``run.json``.

        Raises:
            UntrustworthyError: another schema version, a missing field, or a spec that does not
                match its hash.
        """
        if document.get("schema_version") != SCHEMA_VERSION:
            raise UntrustworthyError(
                f"run.json has schema_version {document.get('schema_version')!r}; this version of selfe-eval "
                f"reads {SCHEMA_VERSION}. Use the version that wrote it, or start a new run with --out."
            )
        try:
            record = cls(
                spec=RunSpec.from_json(document["spec"]),
                prompt_ids=tuple(document["prompt_ids"]),
                partial=document["partial"],
                checkpoint=document["checkpoint"],
                device=document["device"],
                judge=JudgeOptions.from_json(document["judge"]),
                measures=_measures(document.get("measures")),
                status=document["status"],
                generator=document["generator"],
                nfe={int(steps): count for steps, count in document["nfe"].items()},
                attempts=tuple(document["attempts"]),
            )
            stated = document["spec_sha256"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"run.json lacks or garbles a field: {type(error).__name__} {error}. It has been edited or "
                "is of another version. Start a new run with --out."
            ) from error
        if record.spec.sha256 != stated or record.status not in _STATUSES:
            raise UntrustworthyError(
                f"The spec in run.json does not match its own hash: stated {stated}, "
                f"computed {record.spec.sha256} (status {record.status!r}). The file has "
                "been edited. Start a new run with --out."
            )
        return record


def _measures(document: Mapping[str, Any] | None) -> MeasureOptions:
    """Runs that measure GenEval alone do not say so."""
    return MeasureOptions() if document is None else MeasureOptions.from_json(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder and what its ``run.json`` says."""

    folder: Path
    """The run folder."""
    record: RunRecord
    """What ``run.json`` said when it was last read or written by this process."""
    ranks: Ranks = ALONE
    """Which process of the job holds it; only the first one writes ``run.json``."""
    named: str | None = None
    """The adapter that the caller named; None where nobody but ``run.json`` does."""

    @property
    def spec(self) -> RunSpec:
        """What was asked."""
        return self.record.spec

    @property
    def images_file(self) -> Path:
        """The journal of images."""
        return self.folder / layout.IMAGES_FILE

    def own_shard(self, journal: Path) -> Path:
        """The file to which this process adds the records of a journal."""
        return layout.shard_path(journal, self.ranks.index)

    @property
    def resume_command(self) -> str:
        """What to type to go on: where code has to be named again, the command that began the run."""
        if self.spec.runs_code and self.record.attempts:
            return shlex.join(self.record.attempts[0]["argv"])
        return f"selfe-eval resume {shlex.quote(str(self.folder))}"

    def update(self, **changes: Any) -> Run:
        """The run with these fields of its record changed, by the first process on disk too; no change, no write."""
        record = replace(self.record, **changes)
        if record != self.record and self.ranks.is_first:
            atomic_write_json(self.folder / layout.RUN_FILE, record.as_json())
        return replace(self, record=record)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold an existing folder for this process; when the process dies, the system lets go of it.

    Raises:
        UsageError: another process holds it.
    """
    lock = FileLock(folder / layout.LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"Another process is working on {folder}. Two would spoil each other's work: wait for it, look "
            f"at it with `selfe-eval status {shlex.quote(str(folder))}`, or write elsewhere with --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_run(folder: Path, ranks: Ranks = ALONE) -> Run:
    """Open an existing run folder.

    Args:
        folder: The run folder.
        ranks: Which process of the job opens it.

    Raises:
        UsageError: the folder holds no run.
        UntrustworthyError: its ``run.json`` cannot be believed.
    """
    path = folder / layout.RUN_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(
            f"{folder} is not a run folder: expected the file {path}, found none. Runs made without --out "
            "lie in results/runs; give the folder of one of them."
        ) from error
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError(f"found a {type(document).__name__}")  # noqa: TRY004,TRY301 - joins the parser's
    except ValueError as error:
        raise UntrustworthyError(
            f"{path} is damaged: expected a JSON object, but {error}. It is written atomically, so something "
            "else changed it. Restore it, or start a new run with --out."
        ) from error
    return Run(folder=folder, record=RunRecord.from_json(document), ranks=ranks)


def create_or_open(folder: Path, record: RunRecord, ranks: Ranks = ALONE) -> Run:
    """Open the run of this spec in this folder, or create it there. The caller holds the folder's lock.

    What the spec leaves open follows the caller: where the checkpoint lies now, the judge's files where GenEval is
    asked for, the device, and whether images that somebody else made are all there. What is measured adds up.

    Raises:
        UsageError: the folder holds a run of another spec, or files that are not a run.
        OSError: the folder cannot be written.
    """
    if (folder / layout.RUN_FILE).exists():
        run = open_run(folder, ranks)
        differences = run.spec.differences(record.spec)
        if differences:
            raise UsageError(
                f"{folder} holds a run with another configuration, and one folder never mixes two. It "
                f"differs in {'; '.join(differences)}. Repeat the first configuration to go on with it, or "
                "write the new run elsewhere with --out."
            )
        return run.update(
            checkpoint=record.checkpoint,
            device=record.device,
            judge=record.judge if record.measures.is_judged else run.record.judge,
            measures=run.record.measures.joined(record.measures),
            partial=record.partial,
        )
    strangers = sorted(entry.name for entry in folder.iterdir() if not _is_own_trace(entry.name))
    if strangers:
        raise UsageError(
            f"{folder} is not empty and holds no run (found {', '.join(strangers[:3])}). Results are never "
            "mixed with other files: give --out a new or empty folder."
        )
    atomic_write_json(folder / layout.RUN_FILE, record.as_json())
    return Run(folder=folder, record=record, ranks=ranks)


def _is_own_trace(name: str) -> bool:
    """What a crash before the first ``run.json`` may leave: the lock, the probe and unfinished files."""
    return name in {layout.LOCK_FILE, layout.PROBE_FILE} or (
        name.startswith((f".{layout.RUN_FILE}", f".{layout.PROBE_FILE}")) and name.endswith(TEMPORARY_SUFFIX)
    )

"""Tries the imports that break in practice in another process: a crash there is a finding here.

One process tries them all, because torch alone takes seconds to import; after one that fails, a new process goes on
with the next.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from selfe_eval.doctor.findings import INSTALLATION, Finding
from selfe_eval.doctor.versions import MMDET_SET, TORCH_PAIR, Installation

TIMEOUT_SECONDS = 300
_DONE = "\x1e"
"""Printed after each program that ended well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A program that ends well where an import works."""

    name: str
    area: str
    program: str
    """Python; what it prints last is what was found."""
    only_with: str
    """A requirement; where it is not met there is nothing to try."""
    reinstall: str
    """The advice for an error that REMEDIES do not know."""


PROBES = (
    Probe(
        name="torch with torchvision",
        area=INSTALLATION,
        program="import torch, torchvision\n"
        "boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])\n"
        "kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()\n"
        "assert kept == [0, 2], f'torchvision.ops.nms should keep [0, 2] and kept {kept}'\n"
        "print('import together; torchvision.ops.nms is right')\n",
        only_with="python",
        reinstall=TORCH_PAIR,
    ),
    Probe(
        name="cv2",
        area=INSTALLATION,
        program="import cv2; print('OpenCV', cv2.__version__, 'imports')",
        only_with="python",
        reinstall="pip install --force-reinstall opencv-python",
    ),
    Probe(
        name="Mask2Former of transformers",
        area="transformers",
        program="from transformers import Mask2FormerForUniversalSegmentation as model\nprint('imports')",
        only_with="transformers",
        reinstall="pip install --force-reinstall transformers",
    ),
    Probe(
        name="mmdet with its operators",
        area="mmdet",
        program="from selfe_eval.score.detectors.mmdet_stub import import_mmdet\n"
        "print('imports; operators of mmcv:', import_mmdet()['mmcv_operators'])",
        only_with="mmdet",
        reinstall=MMDET_SET,
    ),
)

REMEDIES = {
    r"operator torchvision::nms does not exist|undefined symbol.*(torch|c10)": (
        "torchvision is built for another torch (usually CUDA's beside a CPU torch). Take both from one index: "
        f"{TORCH_PAIR}."
    ),
    r"libGL|libgthread|libglib": (
        "OpenCV lacks a library of the system: apt-get install libgl1 libglib2.0-0, or put opencv-python-headless in "
        "the place of opencv-python."
    ),
    r"pkg_resources": f"{MMDET_SET}, with mmcv-lite in the place of mmcv; it needs no pkg_resources.",
}
"""What an error says, as a regular expression -> what to do about it."""


def import_findings(installation: Installation, probes: Sequence[Probe] = PROBES) -> list[Finding]:
    """Run every probe that applies.

    Args:
        installation: What is installed.
        probes: What to try.

    Returns:
        One finding for each probe run, in their order.
    """
    wanted = [probe for probe in probes if installation.has(probe.only_with)]
    findings: list[Finding] = []
    while len(findings) < len(wanted):
        findings += _try(wanted[len(findings) :])
    return findings


def _try(probes: Sequence[Probe]) -> list[Finding]:
    """Findings up to the first probe that fails."""
    program = "".join(f"{probe.program}\nprint({_DONE!r}, flush=True)\n" for probe in probes)
    command = [sys.executable, "-P", "-c", program]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)  # noqa: S603 - ours
        code, out, said = ended.returncode, ended.stdout, ended.stderr.decode(errors="replace")
        crash = f"killed by signal {-code}: " if code < 0 else ""
    except subprocess.TimeoutExpired as error:
        out, said, crash = error.stdout or b"", "", f"did not end within {TIMEOUT_SECONDS} s"
    printed = out.decode(errors="replace").split(_DONE)[:-1]
    findings = [
        Finding(area=probe.area, name=probe.name, status="ok", found=_last_line(text))
        for probe, text in zip(probes, printed, strict=False)
    ]
    if len(findings) < len(probes):
        findings.append(_broken(probes[len(findings)], crash + _last_line(said), said))
    return findings


def _broken(probe: Probe, found: str, said: str) -> Finding:
    remedies = (remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, said))
    advice = next(remedies, f"Reinstall: {probe.reinstall}.")
    return Finding(area=probe.area, name=probe.name, status="fail", found=found, advice=advice)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""

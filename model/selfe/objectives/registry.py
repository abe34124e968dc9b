"""The objectives by name."""

from __future__ import annotations

from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.imm import IMM
from selfe.objectives.meanflow import MeanFlow
from selfe.objectives.protocol import Objective
from selfe.objectives.self_e import SelfE
from selfe.objectives.self_e_meanflow import SelfEMeanFlow
from selfe.objectives.shortcut import Shortcut

OBJECTIVES: dict[str, type[Objective]] = {
    objective.name: objective for objective in (FlowMatching, SelfE, IMM, MeanFlow, Shortcut, SelfEMeanFlow)
}
"""Name -> class; every one can be made without arguments, which gives its paper's choices, where there is one, at our scale."""

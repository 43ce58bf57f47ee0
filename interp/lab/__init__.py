"""The live lab: a network as a plan and a file of weights, which a page runs in the reader's browser."""

from interp.lab.examples import Example, evidence
from interp.lab.exchange import export_onnx
from interp.lab.plan import LOGITS, MAPS, Plan, Step, plan
from interp.lab.site import Frame, Scenes, Units, engine_script, write

__all__ = [
    "LOGITS",
    "MAPS",
    "Example",
    "Frame",
    "Plan",
    "Scenes",
    "Step",
    "Units",
    "engine_script",
    "evidence",
    "export_onnx",
    "plan",
    "write",
]

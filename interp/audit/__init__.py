"""What separates a class's hits from its misses: regions, units and clusters of maps, on a static page."""

from interp.audit.chance import Separation, separation
from interp.audit.findings import KINDS, Finding, Look, examine
from interp.audit.plan import Plan
from interp.audit.site import build

__all__ = ["KINDS", "Finding", "Look", "Plan", "Separation", "build", "examine", "separation"]

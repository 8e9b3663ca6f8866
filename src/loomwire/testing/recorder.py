"""Record exchanges with providers, and replay them without network, key and cost."""

from __future__ import annotations

from loomwire.infrastructure.recordings.recorder import MAX_RECORDED, Recorder, RecorderMode
from loomwire.infrastructure.recordings.replay import Cutting

__all__ = ["MAX_RECORDED", "Cutting", "Recorder", "RecorderMode"]

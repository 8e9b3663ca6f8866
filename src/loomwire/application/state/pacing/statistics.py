"""What a lane holds at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """What a lane holds at one moment, as numbers that do not change.

    Attributes:
        in_use: Grants that are out.
        waiting: How many stand in line.
        longest_wait_s: Longest time in line so far, of those that were served and those that still stand.
        granted: How many were ever let through.
        refused: How many were sent away: the line was full, or their time would have been over.
        requests: Requests that count in the last minute.
        tokens: Tokens that count in the last minute.
        paused_s: Seconds until the provider may be asked again; 0 when it may.
        fill: How much of the limit that is used most is used, 0 to 1.
    """

    in_use: int
    waiting: int
    longest_wait_s: float
    granted: int
    refused: int
    requests: int
    tokens: int
    paused_s: float
    fill: float

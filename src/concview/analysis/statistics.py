"""How far a share estimated from samples can be trusted."""

from __future__ import annotations

import math

#: Two-sided 95 %.
Z95 = 1.959964
#: The design effect is not credited beyond this share: nearly constant conditions have few independent pieces.
_EXTREME = 0.05


def wilson(share: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a share seen in `n` independent samples; (0, 1) without any."""
    if n <= 0:
        return 0.0, 1.0
    p = min(1.0, max(0.0, share))
    square = z * z / n
    centre = p + square / 2
    half = z * math.sqrt(p * (1 - p) / n + square / (4 * n))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))


def independent(samples: int, episodes: int, share: float) -> float:
    """How many independent samples `samples` are worth that fell into `episodes` separate stretches.

    Samples inside one wait say the same thing twice. A process that alternates between two conditions with
    exponential lengths, in one of them for a share p of the time and entering it E times, has a time average with the
    variance of E / (2 p (1 - p)) independent samples (alternating renewal process); there cannot be more than were
    taken.
    """
    p = min(1 - _EXTREME, max(_EXTREME, share))
    return min(float(samples), episodes / (2 * p * (1 - p)))


def lower_share(share: float, samples: int, episodes: int) -> float:
    """Lower end of the 95 % interval of a share of time; never above the share itself."""
    return min(share, wilson(share, independent(samples, episodes, share))[0])


def lower_mean(mean: float, most: int, ticks: int, episodes: int) -> float:
    """Lower end for the mean of a count between 0 and `most`, seen at `ticks` moments."""
    if most <= 0:
        return 0.0
    return most * lower_share(mean / most, ticks, episodes)

"""What the terminal says of a stability selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["stability_line"]


def stability_line(found: Mapping[str, Any]) -> str:
    """Which features are stable, and how many of them may be false."""
    names = [f"{row['feature']} ({row['probability']:.2f})" for row in found["selected"]]
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    passes = f"{found['n_passes']} pass{'' if found['n_passes'] == 1 else 'es'}"
    return (
        f"Stable: {len(names):,} of {found['n_candidates']:,} features, in at least "
        f"{found['threshold']:.0%} of {2 * found['n_pairs']:,} random halves ({passes})"
        f"{': ' + shown if names else ''}. At most {found['expected_false']:.2g} of them are "
        f"expected to be false."
        + ("" if found["converged"] else " NOT all fits to the halves are certified.")
    )

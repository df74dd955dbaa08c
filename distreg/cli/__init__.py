"""Command line: ``distreg run FILE.yaml`` and its siblings. Heavy imports wait for a command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    from distreg.cli.app import app

    app(prog_name="distreg")

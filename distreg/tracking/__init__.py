"""Experiment tracking. MLflow is imported when a run is tracked, not before."""

from __future__ import annotations

from distreg.secrets import mask
from distreg.tracking.mlflow import Tracker
from distreg.tracking.records import DatasetInfo, TrackingResult
from distreg.tracking.sending import sync

__all__ = ["DatasetInfo", "Tracker", "TrackingResult", "mask", "sync"]

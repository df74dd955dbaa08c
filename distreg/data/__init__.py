"""Anything a user has becomes one `Dataset` of aligned row blocks."""

from __future__ import annotations

from distreg.data.arrays import from_arrays
from distreg.data.columns import Columns
from distreg.data.dataset import Dataset
from distreg.data.files import read_dataset

__all__ = ["Columns", "Dataset", "from_arrays", "read_dataset"]

"""Computations on one block: the only place that tells dense from sparse."""

"""Solvers of one training set's problem; they know a Gram matrix and penalty weights only."""

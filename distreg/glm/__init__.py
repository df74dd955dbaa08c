"""Generalised linear models: all columns of a cross-validation advance in the same passes."""

"""From a pipeline file to an output folder."""

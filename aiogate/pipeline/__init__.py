"""The pipeline: entry points to plugins to one compiled, typed method per hook."""

"""Readers of vendors' files: each makes a `replay.sources.base.Source` of a path."""

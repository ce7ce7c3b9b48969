"""Artifacts of a gigabyte: streamed in and out, beside the bare drivers that do the same work."""

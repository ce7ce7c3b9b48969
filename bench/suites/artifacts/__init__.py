"""Artifacts: a gigabyte in pieces, beside the bare drivers; and whole artifacts, beside Google's ADK."""

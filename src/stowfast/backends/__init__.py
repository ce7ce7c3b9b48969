"""The places, one file each."""

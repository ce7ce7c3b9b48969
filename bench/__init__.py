"""Stowfast beside the libraries a user would otherwise pick, and beside the bare driver, which is the limit."""

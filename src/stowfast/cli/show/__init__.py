"""Stored things as text for a terminal."""

"""Datasets: artifacts made of rows."""

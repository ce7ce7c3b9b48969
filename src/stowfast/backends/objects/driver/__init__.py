"""The driver: opens a bucket, performs requests over obstore, and finds out whether the store keeps its word."""

"""The protocol: the objects of a bucket and the order of their writes. It yields requests and performs none."""

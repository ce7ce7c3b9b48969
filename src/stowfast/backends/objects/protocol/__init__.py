"""The protocol: what is written to a bucket, and in which order. It asks for requests, and performs none itself."""

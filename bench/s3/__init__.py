"""The same question on object storage: what an operation asks of a bucket, what that costs, and how long it takes."""

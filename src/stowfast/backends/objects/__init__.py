"""Object storage: keeps everything in a bucket, for any number of machines, with no other service beside it."""

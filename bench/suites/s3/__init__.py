"""Object storage: the requests of each operation, their cost, and the time it takes."""

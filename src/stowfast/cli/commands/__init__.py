"""The commands, by noun. Each opens a backend, calls the module of the work, and prints."""

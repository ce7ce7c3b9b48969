"""The commands, by noun. Each opens a backend, calls the module that does the work, and prints."""

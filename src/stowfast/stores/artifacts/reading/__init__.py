"""Reading an artifact: checked bytes, as a reader or as a file object."""

"""Writing an artifact: content, its upload, and the version that names it."""

"""Writing an artifact: its content, the upload, and the commit of the version."""

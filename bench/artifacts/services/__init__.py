"""One short file a way to keep whole artifacts: the plainest use of one library, as its documentation teaches it."""

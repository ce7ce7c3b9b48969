"""One file for each library: its plainest use, as its documentation teaches it."""

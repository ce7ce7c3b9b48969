"""One file for each library: its plainest use with a pool, as its documentation teaches it."""

"""One file a contender: the shortest honest use of one library, as its documentation teaches it."""

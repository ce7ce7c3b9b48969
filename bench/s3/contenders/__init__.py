"""One file a contender: the shortest honest use of one library on a bucket, as its documentation teaches it."""

"""The demonstration: an agent that is killed again and again, and loses nothing."""

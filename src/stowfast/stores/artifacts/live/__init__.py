"""Live artifacts: written piece by piece while others follow."""

"""What makes a host of its own of this program: so far the files for its clients."""

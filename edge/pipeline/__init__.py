"""From a received study to its result: the reading itself, and the processes around it."""

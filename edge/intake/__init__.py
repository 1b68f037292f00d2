"""Other ways into the box than the network: a folder that files are dropped into, and USB sticks."""

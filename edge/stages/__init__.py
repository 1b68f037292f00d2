"""Reading stages: what the box does with an image, without any knowledge of files or networks."""

"""The objects of a chest CT, where they differ from those of a radiograph."""

"""The touchscreen page: worklist, results, pictures. It reads the store and changes nothing."""

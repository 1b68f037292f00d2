"""The touchscreen page: worklist, results, pictures. It reads the store; all that it changes is a stated age."""

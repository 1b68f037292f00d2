"""Networks: which files may be run, and what runs them."""

"""The API family: AWS APIs with a position per target (region, log group, detector)."""

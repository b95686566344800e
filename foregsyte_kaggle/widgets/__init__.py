"""The job table."""

"""Studies of what the method can do, as against its speed: `python -m benchmarks.studies.NAME`."""

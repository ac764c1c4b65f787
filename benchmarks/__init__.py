"""Claims about speed, each with the script that prints it: `python -m benchmarks.NAME`."""

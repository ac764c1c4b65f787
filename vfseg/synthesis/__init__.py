"""Cases with known truth: synthetic spines, and virtual fractures in real bone."""

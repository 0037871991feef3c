"""Benchmarks of the data stage at the size of the real thing, on files made here."""

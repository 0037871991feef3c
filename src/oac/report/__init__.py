"""Stage 5: the numbers of many runs into tables, figures and verdicts."""

"""Stage 2: photos become ranked boxes that may hold objects."""

"""The proposals stage: photos become ranked boxes that may hold objects."""

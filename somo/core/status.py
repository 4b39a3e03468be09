"""Whether a day may still change: final, or provisional while its forcing is."""

FINAL, PROVISIONAL = 0, 1

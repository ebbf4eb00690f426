"""Handlers of reports, as far as they are pure: what is counted, and what is written in which form."""

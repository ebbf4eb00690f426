"""Every field of the networking API: what shows that it works, or why it is refused."""

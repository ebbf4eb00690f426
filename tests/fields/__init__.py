"""Every field of the networking and security API: what shows that it works, or why it is refused."""

"""What proxies refuse themselves, against what Mixer says when it is asked."""

"""The rate limit service: what plays the image `envoyproxy/ratelimit` on one machine.

`config` reads the limits, `decide` says what a call may, `store` counts (in memory or in Redis), `serve` speaks
`envoy.service.ratelimit.v3.RateLimitService`. Run: `python -m argosy.samples.ratelimit`, told by the image's variables.
"""

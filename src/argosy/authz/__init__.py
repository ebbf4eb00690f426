"""What AuthorizationPolicies mean: for people as sentences, for tests and tools as a plain evaluation.

Nothing here knows Envoy; that Envoy does the same is proved by a differential test against it.
"""

"""Mixer: attributes, expressions, rules, handlers (checks); and telemetry: Envoy's series to Istio's metrics and flows.

Pure: time and the directory are given; decisions, text and findings come back. Transport is in `edge/`.
"""

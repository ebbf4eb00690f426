"""Adapters out of process: what `template` and `adapter` objects describe, and the messages that are made by them.

`descriptors` reads descriptor sets, `templates` and `params` know what they mean to Mixer, `values` turns attributes
into fields and back, `models` puts the configuration's objects together. Nothing is sent here.
"""

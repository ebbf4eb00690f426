"""Citadel: who gets which certificate, and who is believed. Pure; see README.md for the contract."""

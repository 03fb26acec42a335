"""Incidents in the formats of other tools."""

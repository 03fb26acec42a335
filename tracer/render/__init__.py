"""Incidents for people and for programs."""
